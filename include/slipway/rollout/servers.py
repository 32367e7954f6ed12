"""What a rollout needs of the servers that it works on, wherever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from slipway.rollout.config_file import ModelConfigFile
from slipway.rollout.converge import converge
from slipway.rollout.endpoint import Endpoint
from slipway.rollout.server import ModelServer

if TYPE_CHECKING:
    from slipway.rollout.config_file import Serving
    from slipway.rollout.session import Rollout


class Servers(Protocol):
    """The servers of one rollout."""

    def check(self) -> dict[str, Any]:
        """What can be known to be wrong before anything is touched; facts for preflight's details.

        Raises:
            SlipwayError: Something is.
        """

    def converge(self, share: float | None = None) -> Serving:
        """Bring the servers to where the channels point.

        Args:
            share: Of the requests, for the canary; None: as it is.

        Raises:
            SlipwayError: They cannot be brought there, or did not follow in time.
        """

    def make_room(self) -> None:
        """Give the canary all that it needs as stable, and wait for it; requests stay as they are.

        Raises:
            SlipwayError: There is no such room, or it did not come in time.
        """

    def reached_share(self) -> float | None:
        """Of all requests, what the canary gets now; None where each client chooses."""

    def counted_requests(self) -> float | None:
        """Requests that the canary's own servers have counted; None if that is not to be had."""

    def canary_endpoint(self) -> Endpoint:
        """Where the version that is rolled out is asked, whatever its share of the requests."""

    def predict_path(self, label: str) -> str:
        """The path, from that endpoint on, at which it is asked for predictions."""


class LocalServers:
    """One running server that polls a model config file.

    Args:
        rollout: The rollout; its target says where the server is.
    """

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout

    def check(self) -> dict[str, Any]:
        """Server and config file; see Servers."""
        target = self._rollout.target
        return {"server": target.server_url, "config_file": str(target.config_file)}

    def converge(self, share: float | None = None) -> Serving:  # noqa: ARG002  # clients choose the label
        """Follow the channels with file and server; see `slipway.rollout.converge`."""
        rollout = self._rollout
        with ModelServer(Endpoint(rollout.target.server_url)) as server:
            return converge(
                rollout.model,
                rollout.target.base_path(rollout.config.base_uri, rollout.model),
                rollout.wanted,
                file=ModelConfigFile(rollout.target.config_file),
                server=server,
                within_seconds=rollout.config.serve.available_within_seconds,
                say=rollout.say,
            )

    def make_room(self) -> None:
        """Nothing: the server has both versions in memory."""

    def reached_share(self) -> float | None:
        """None."""
        return None

    def counted_requests(self) -> float | None:
        """None: the server's counters hold stable's requests too."""
        return None

    def canary_endpoint(self) -> Endpoint:
        """The server itself."""
        return Endpoint(self._rollout.target.server_url)

    def predict_path(self, label: str) -> str:
        """By label."""
        return f"/v1/models/{self._rollout.model}/labels/{label}:predict"


def servers_of(rollout: Rollout) -> Servers:
    """The servers that a rollout's spec names."""
    kubernetes = rollout.config.serve.kubernetes
    if kubernetes is None:
        return LocalServers(rollout)
    if rollout.config.rollout.strategy == "in_place":
        from slipway.kubernetes.in_place import InPlaceServers

        return InPlaceServers.of(rollout)
    from slipway.kubernetes.versions import VersionServers

    return VersionServers.of(rollout)
