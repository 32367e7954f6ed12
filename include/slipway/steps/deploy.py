"""Deploy: loads the version beside stable under the label canary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.rollout.deploy import deploy
from slipway.rollout.session import Rollout
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from slipway.steps.base import StepContext


def run(context: StepContext) -> StepOutput:
    """See `slipway.rollout.deploy`, whose details are this step's."""
    return StepOutput(details=deploy(Rollout.of(context)))
