"""Loads the version beside stable."""

from __future__ import annotations

from slipway_airflow.operators.rollout import RolloutOperator


class DeployOperator(RolloutOperator):
    """Loads the version beside stable under the label canary."""
