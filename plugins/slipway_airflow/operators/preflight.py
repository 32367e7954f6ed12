"""Settles what a rollout is about, before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import SkipMixin

from slipway_airflow.operators.rollout import RolloutOperator, requested_version

if TYPE_CHECKING:
    from airflow.sdk import Context

    from slipway.contracts import StepResult


class PreflightOperator(RolloutOperator, SkipMixin):
    """Checks version, digest and fence; skips the rest when there is nothing to roll out.

    A version that is stable already needs no rollout, unless this very run promoted it: then it
    was cleared, and finishes the same work.
    """

    def _version(self, context: Context) -> dict[str, Any]:
        return requested_version(context)

    def _after(self, context: Context, result: StepResult) -> None:
        if not result.details.get("already_stable") or self._promoted_here(context):
            return
        self.log.info("version %s is stable already", result.details.get("version"))
        ti = context["ti"]
        # Skipping ends the task, so what it would return must be there before.
        ti.xcom_push(key="return_value", value=result.model_dump(mode="json"))
        self.skip(ti, self.get_direct_relatives(upstream=False))

    def _promoted_here(self, context: Context) -> bool:
        """What promote left stays when it is cleared, until it runs again."""
        return context["ti"].xcom_pull(task_ids="promote") is not None
