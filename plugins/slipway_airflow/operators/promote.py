"""Makes the canary stable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.spec.plan import rollout_gates
from slipway_airflow.operators.rollout import RolloutOperator
from slipway_airflow.outcomes import outcomes_of
from slipway_airflow.sensors.model_health import decision_of

if TYPE_CHECKING:
    from airflow.sdk import Context


PROBE = "probe"


class PromoteOperator(RolloutOperator):
    """Moves the label and the channel stable to the version, if the health gate judged it.

    Without the gate's decision, as when `health` was marked as success by hand, it fails before
    anything is moved; with one that is not healthy the step refuses.
    """

    def _parameters(self, context: Context) -> dict[str, Any]:
        if self.work.goes_back:
            return self._proven_before(context)
        gate = rollout_gates(self.spec)[-1]
        decision = decision_of(outcomes_of(context, [gate]).get(gate))
        if decision is None:
            raise TerminalError(
                f"{self.spec.model}: the task {gate} left no decision, so nothing is promoted",
                hint=f"clear deploy with Downstream; {gate} must run, not be marked as success",
                subject=gate,
            )
        return {**super()._parameters(context), "decision": decision}

    def _proven_before(self, context: Context) -> dict[str, Any]:
        """Of a version to go back to only the golden answers are asked for, but those are."""
        probe = outcomes_of(context, [PROBE]).get(PROBE)
        if probe is None or probe.result is None:
            raise TerminalError(
                f"{self.spec.model}: the task {PROBE} left no answers, so nothing is promoted",
                hint=f"clear deploy with Downstream; {PROBE} must run, not be marked as success",
                subject=PROBE,
            )
        return super()._parameters(context)
