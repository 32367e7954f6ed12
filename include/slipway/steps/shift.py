"""Shift: gives the canary a share of the requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.rollout.session import Rollout
from slipway.rollout.shift import shift
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from slipway.steps.base import StepContext


def run(context: StepContext) -> StepOutput:
    """See `slipway.rollout.shift`; `share` is among this step's parameters of its config."""
    rollout = Rollout.of(context)
    metrics, details = shift(rollout, rollout.config.share)
    return StepOutput(metrics=metrics, details=details)
