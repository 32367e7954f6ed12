from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.rollout.config_file import Serving
from slipway.rollout.promote import promote
from slipway.rollout.rollback import rollback
from slipway.rollout.session import Rollout, RolloutConfig, RolloutParameters
from slipway.rollout.target import Target
from slipway.serving.publish import publish
from slipway.spec.rollout import RolloutSpec, ServeSpec
from support.memory_store import MemoryStore
from support.rollouts import HEALTH

if TYPE_CHECKING:
    from pathlib import Path


class _Servers:
    """Room for a canary, and for all that stable needs only if it is told so."""

    def __init__(self, *, room: bool) -> None:
        self._room = room
        self.did: list[str] = []

    def make_room(self) -> None:
        self.did.append("make_room")
        if not self._room:
            message = "a quota leaves no room"
            raise TerminalError(message, hint="raise it", subject="quota")

    def converge(self, share: float | None = None) -> Serving:
        del share
        self.did.append("converge")
        return Serving()


def _rollout(folder: Path, servers: Any) -> Rollout:
    (folder / "saved_model.pb").write_bytes(b"any")
    store = MemoryStore()
    published = publish(store, "digits", folder, variant="original", metrics={})
    config = RolloutConfig(
        base_uri="s3://models",
        serve=ServeSpec(),
        rollout=RolloutSpec.model_validate({"health": HEALTH}),
    )
    parameters = RolloutParameters(
        version=published.version, digest=published.digest, rollout_id="run"
    )
    made = Rollout("digits", config, parameters, store, Target({}))
    made.__dict__["servers"] = servers
    made.point("canary", None)
    return made


def test_stable_moves_once_there_is_room_for_all_requests(tmp_path: Path) -> None:
    servers = _Servers(room=True)
    rollout = _rollout(tmp_path, servers)
    assert promote(rollout)["already_stable"] is False
    assert servers.did == ["make_room", "converge"]
    assert rollout.holds(rollout.channel("stable"))


def test_without_room_stable_stays_and_the_canary_can_be_withdrawn(tmp_path: Path) -> None:
    rollout = _rollout(tmp_path, _Servers(room=False))
    with pytest.raises(TerminalError, match="no room"):
        promote(rollout)
    assert rollout.channel("stable") is None
    assert rollback(rollout)["withdrawn"]


def test_a_promotion_that_was_cut_off_after_its_move_needs_no_room_anew(tmp_path: Path) -> None:
    servers = _Servers(room=False)
    rollout = _rollout(tmp_path, servers)
    rollout.point("stable", None)
    assert promote(rollout)["already_stable"] is True
    assert servers.did == ["converge"]
