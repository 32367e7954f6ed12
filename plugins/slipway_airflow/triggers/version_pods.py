"""Waits for a version's pods in the triggerer, where waiting costs no worker."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from slipway.errors import TerminalError, TransientError
from slipway.kubernetes.client import Cluster
from slipway.kubernetes.waiting import Awaited, has_moved_on
from slipway_airflow.hooks.kubernetes import async_kubernetes_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_POLL_SECONDS = 2.0


class VersionPodsTrigger(BaseTrigger):
    """Looks until the step that waits has something to do; its event says until when it may wait.

    It can be stopped and started again at any time, on another machine too. It decides nothing:
    what it cannot find out, as without rights, the step is left to say.

    Args:
        connection_id: Airflow connection of the cluster; credentials never pass through here.
        awaited: An `Awaited` as JSON: whose pods.
    """

    def __init__(self, *, connection_id: str, awaited: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.connection_id = connection_id
        self.awaited = awaited

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "connection_id": self.connection_id,
            "awaited": self.awaited,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look every two seconds; one event at the end."""
        awaited = Awaited.model_validate(self.awaited)
        with TemporaryDirectory(prefix="slipway-trigger-") as folder:
            await self._wait(awaited, Path(folder))
        yield TriggerEvent({"until": awaited.until})  # type: ignore[no-untyped-call]  # Airflow's

    async def _wait(self, awaited: Awaited, folder: Path) -> None:
        try:
            found = await async_kubernetes_environment(self.connection_id, folder)
            # The official client blocks, so it stays out of the triggerer's event loop.
            cluster = await asyncio.to_thread(Cluster.connect, {**os.environ, **found})
            while time.time() < awaited.until:
                try:
                    if await asyncio.to_thread(has_moved_on, cluster, awaited):
                        return
                except TransientError as error:
                    self.log.info("%s", error)
                await asyncio.sleep(_POLL_SECONDS)
        except TerminalError as error:
            self.log.warning("left to the step: %s", error)
