"""Asks the canary."""

from __future__ import annotations

from slipway_airflow.operators.rollout import RolloutOperator


class ProbeOperator(RolloutOperator):
    """Sends golden and probe requests to the canary."""
