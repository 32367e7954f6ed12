"""Promote: moves the channel and the label stable to the version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.rollout.promote import promote
from slipway.rollout.session import Rollout
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from slipway.steps.base import StepContext


def run(context: StepContext) -> StepOutput:
    """See `slipway.rollout.promote`, whose details are this step's."""
    return StepOutput(details=promote(Rollout.of(context)))
