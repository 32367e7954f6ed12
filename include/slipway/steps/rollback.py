"""Rollback: withdraws the canary and keeps the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.rollout.rollback import rollback
from slipway.rollout.session import Rollout
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from slipway.steps.base import StepContext


def run(context: StepContext) -> StepOutput:
    """See `slipway.rollout.rollback`, whose details are this step's."""
    return StepOutput(details=rollback(Rollout.of(context)))
