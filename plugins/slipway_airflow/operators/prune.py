"""Makes a variant by pruning."""

from __future__ import annotations

from slipway_airflow.operators.base import StepOperator


class PruneOperator(StepOperator):
    """Prunes a Keras model to a sparsity and fine-tunes it."""
