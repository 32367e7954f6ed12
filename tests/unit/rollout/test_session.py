from __future__ import annotations

import pytest

from slipway.errors import TerminalError
from slipway.rollout.session import Rollout, RolloutConfig, RolloutParameters
from slipway.rollout.target import Target
from slipway.spec.rollout import RolloutSpec, ServeSpec
from support.memory_store import MemoryStore
from support.rollouts import HEALTH

_DIGEST = "a" * 64


def _rollout(approved: str | None) -> Rollout:
    parameters = RolloutParameters(version=3, digest=_DIGEST, rollout_id="run", approved=approved)
    config = RolloutConfig(
        base_uri="s3://models",
        serve=ServeSpec(),
        rollout=RolloutSpec.model_validate({"health": HEALTH}),
    )
    return Rollout("digits", config, parameters, MemoryStore(), Target({}))


def test_what_was_approved_goes_on_and_what_nobody_was_asked_for() -> None:
    _rollout(None).refuse_unapproved()
    _rollout(_DIGEST).refuse_unapproved()


def test_other_content_than_was_approved_does_not_go_on() -> None:
    with pytest.raises(TerminalError, match=r"has digest a{12}, but b{12} was approved"):
        _rollout("b" * 64).refuse_unapproved()
