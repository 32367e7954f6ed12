"""Gives the canary a share of the requests."""

from __future__ import annotations

from slipway_airflow.operators.rollout import RolloutOperator


class ShiftOperator(RolloutOperator):
    """Gives the canary a share of the requests, and waits until it has it."""
