"""Removes from the bucket what is no longer needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway_airflow.lineage import tell_metrics
from slipway_airflow.operators.base import StepOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from slipway.contracts import StepResult


class RetentionOperator(StepOperator):
    """Keeps the newest versions and those that a channel points to; clears dead leftovers."""

    needs_bucket = True

    def _after(self, context: Context, result: StepResult) -> None:  # noqa: ARG002
        tell_metrics(result)
