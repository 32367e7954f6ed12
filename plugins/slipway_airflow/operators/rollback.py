"""Withdraws a canary that did not prove itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowSkipException

from slipway_airflow.operators.rollout import PREFLIGHT, RolloutOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from slipway.contracts import StepRequest


class RollbackOperator(RolloutOperator):
    """Withdraws the canary and keeps the evidence; skipped if nothing was deployed."""

    ui_color = "#f7d9d9"

    def _request(self, context: Context) -> StepRequest:
        request = super()._request(context)
        outcome = request.results.get(PREFLIGHT)
        if outcome is not None and outcome.result is None:
            # one_failed also fires when preflight failed and nothing was touched.
            message = "preflight stopped the rollout before anything was touched"
            raise AirflowSkipException(message)
        return request
