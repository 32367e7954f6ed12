"""Makes the canary stable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway_airflow.operators.rollout import RolloutOperator
from slipway_airflow.outcomes import outcomes_of
from slipway_airflow.sensors.model_health import HEALTH, decision_of

if TYPE_CHECKING:
    from airflow.sdk import Context


class PromoteOperator(RolloutOperator):
    """Moves the label and the channel stable to the version."""

    def _parameters(self, context: Context) -> dict[str, Any]:
        judged = outcomes_of(context, [HEALTH]).get(HEALTH)
        return {**super()._parameters(context), "decision": decision_of(judged)}
