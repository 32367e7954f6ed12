"""Brings in a SavedModel that was exported elsewhere."""

from __future__ import annotations

from slipway_airflow.hooks.connections import bucket_environment
from slipway_airflow.operators.base import StepOperator


class ImportSavedModelOperator(StepOperator):
    """Takes an exported SavedModel as the original, instead of training one."""

    def _environment(self) -> dict[str, str]:
        incoming = self.spec.incoming
        if incoming is None or incoming.uri is None:
            return {}
        return bucket_environment(incoming.connection, incoming.uri)
