"""Makes the canary stable."""

from __future__ import annotations

from slipway_airflow.operators.rollout import RolloutOperator


class PromoteOperator(RolloutOperator):
    """Moves the label and the channel stable to the version."""
