"""Tries what a build will need before it works for an hour."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class CheckOperator(StepOperator):
    """Tries the bucket's credentials and reads the model definition."""

    begins = True
    needs_bucket = True
