"""Removes from the bucket what is no longer needed."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class RetentionOperator(StepOperator):
    """Keeps the newest versions and those that a channel points to; clears dead leftovers."""

    needs_bucket = True
