"""Withdraws a canary that did not prove itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from slipway.spec.plan import rollout_gates, rollout_tasks
from slipway_airflow.operators.rollout import PREFLIGHT, RolloutOperator
from slipway_airflow.outcomes import outcomes_of
from slipway_airflow.sensors.model_health import decision_of

if TYPE_CHECKING:
    from airflow.sdk import Context


class RollbackOperator(RolloutOperator):
    """Withdraws the canary and keeps the evidence; skipped if preflight let nothing through."""

    ui_color = "#f7d9d9"

    def _parameters(self, context: Context) -> dict[str, Any]:
        may_fail = rollout_tasks(self.spec)
        outcomes = outcomes_of(context, (PREFLIGHT, *may_fail))
        preflight = outcomes.get(PREFLIGHT)
        if preflight is None or preflight.result is None:
            # one_failed holds for it too, because deploy is then upstream_failed.
            message = "preflight stopped the rollout before anything was touched"
            raise AirflowSkipException(message)
        found = [outcomes[task].failure for task in may_fail if task in outcomes]
        failures = [failure for failure in found if failure is not None]
        decisions = [decision_of(outcomes.get(gate)) for gate in rollout_gates(self.spec)]
        return {
            **super()._parameters(context),
            "decision": next((each for each in reversed(decisions) if each is not None), None),
            "reason": failures[0].message if failures else "",
        }
