"""The model server as a client of TensorFlow Serving's REST API sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

import httpx

from slipway.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from slipway.rollout.endpoint import Endpoint

_TIMEOUT_SECONDS = 5.0
_AVAILABLE = "AVAILABLE"
_ENDED = "END"


@dataclass(frozen=True)
class Seen:
    """What a model server serves of a model.

    Attributes:
        states: State by version: START, LOADING, AVAILABLE, UNLOADING or END.
        failures: The server's message for each version that ended with an error.
        labels: Version by label, of the labels that answer.
        up: Whether there is a server at all.
    """

    states: Mapping[int, str] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    up: bool = True

    @property
    def available(self) -> frozenset[int]:
        """The versions that answer."""
        return frozenset(v for v, state in self.states.items() if state == _AVAILABLE)


class Servable(Protocol):
    """One model server, or several that are to serve the same."""

    @property
    def url(self) -> str:
        """Where, for messages."""

    def look(self, model: str, labels: Iterable[str] = ()) -> Seen:
        """See which versions and labels of a model answer."""


class ModelServer:
    """The REST API of one model server.

    A context manager, which closes its connections.

    Args:
        endpoint: Where it is reached.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._url = endpoint.url
        self._http = endpoint.client(_TIMEOUT_SECONDS)

    @property
    def url(self) -> str:
        """Base address."""
        return self._url

    def look(self, model: str, labels: Iterable[str] = ()) -> Seen:
        """See which versions and labels of a model answer.

        A refused connection is an answer too: where no process listens, nothing is served.

        Raises:
            TransientError: Something listens and gives no status.
        """
        try:
            statuses = self._statuses(f"/v1/models/{model}")
            answering = {label: self._labelled(model, label) for label in labels}
        except httpx.ConnectError:
            return Seen(up=False)
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise TransientError(
                f"the model server at {self.url} gives no status of {model}: "
                f"{type(error).__name__}: {error}",
                hint="read the model server's log",
                subject=self.url,
            ) from None
        return Seen(
            states={int(status["version"]): status["state"] for status in statuses},
            failures={
                int(status["version"]): _message(status) for status in statuses if _failed(status)
            },
            labels={label: version for label, version in answering.items() if version is not None},
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _labelled(self, model: str, label: str) -> int | None:
        statuses = self._statuses(f"/v1/models/{model}/labels/{label}")
        found = [int(status["version"]) for status in statuses if status["state"] == _AVAILABLE]
        return found[0] if found else None

    def _statuses(self, path: str) -> list[dict[str, Any]]:
        reply = self._http.get(f"{self.url}{path}")
        if reply.is_server_error:
            reply.raise_for_status()
        # An unknown model or label is answered with an error of the 400s.
        found: list[dict[str, Any]] = (
            reply.json().get("model_version_status", []) if reply.is_success else []
        )
        return found


def _failed(status: dict[str, Any]) -> bool:
    code = status.get("status", {}).get("error_code", "OK")
    return status["state"] == _ENDED and code not in {"OK", 0}


def _message(status: dict[str, Any]) -> str:
    detail = status["status"]
    return f"{detail.get('error_code')}: {detail.get('error_message', '')}"
