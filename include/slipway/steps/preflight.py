"""Preflight: checks version, digest and fence before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.rollout.preflight import preflight
from slipway.rollout.session import Rollout
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from slipway.steps.base import StepContext


def run(context: StepContext) -> StepOutput:
    """See `slipway.rollout.preflight`, whose details are this step's."""
    return StepOutput(details=preflight(Rollout.of(context)))
