"""Probe: sends golden and probe requests to the canary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.rollout.probe import probe
from slipway.rollout.session import Rollout
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from slipway.steps.base import StepContext


def run(context: StepContext) -> StepOutput:
    """See `slipway.rollout.probe`; its figures are this step's metrics, for the health gate."""
    metrics, details = probe(Rollout.of(context))
    return StepOutput(metrics=metrics, details=details)
