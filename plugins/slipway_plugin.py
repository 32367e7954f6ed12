"""The one file that Airflow loads from plugins/: what the UI shows beside the DAGs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]


class _Pages:
    """The pages, imported with the first request: every Airflow process loads this file."""

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        from slipway_airflow.pages import app

        await app(scope, receive, send)


class SlipwayPlugin(AirflowPlugin):
    """Serves the pages behind the tasks' links below /slipway."""

    name = "slipway"
    fastapi_apps = [  # noqa: RUF012  # declared by Airflow, and read only
        {"app": _Pages(), "url_prefix": "/slipway", "name": "Slipway"}
    ]
