"""Settles what a rollout is about, before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import SkipMixin
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from slipway_airflow.assets import ROLLOUT, newest_version
from slipway_airflow.hooks.bucket import settle_version
from slipway_airflow.operators.rollout import SETTLED_KEY, RolloutOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from slipway.contracts import StepResult


class PreflightOperator(RolloutOperator, SkipMixin):
    """Checks version, digest and fence; skips the rest when there is nothing to roll out.

    The asset's events name the version, or whoever started the run; without either it is the
    newest that is published when the task first runs. A run settles this once: cleared, it keeps
    the version, also when a newer one was published meanwhile.

    A version that is stable already needs no rollout, unless this very run promoted it: then it
    was cleared, and finishes the same work.
    """

    begins = True

    def _settled(self, context: Context) -> dict[str, Any]:
        # Airflow deletes a task's XComs when it is cleared, but not what its state store holds.
        store = context["task_state_store"]
        kept: Any = store.get(SETTLED_KEY)
        settled: dict[str, Any] = kept or self._settle(context)
        if not kept:
            store.set(SETTLED_KEY, settled, retention=NEVER_EXPIRE)
        context["ti"].xcom_push(key=SETTLED_KEY, value=settled)
        return settled

    def _settle(self, context: Context) -> dict[str, Any]:
        events = _events(context)
        wanted = [event for event in events if event.get(ROLLOUT, True)]
        if events and not wanted:
            message = "it was published with skip_rollout: there is nothing to roll out"
            raise AirflowSkipException(message)
        asked = newest_version(wanted) or _of_params(context)
        return settle_version(self.spec.publish, self.spec.model, asked)

    def _after(self, context: Context, result: StepResult) -> None:
        self._settle_fallback(context, result)
        if not result.details.get("already_stable") or self._promoted_here(context):
            return
        self.log.info("the version is stable already: there is nothing to roll out")
        ti = context["ti"]
        # Skipping ends the task, so what it would return must be there before.
        ti.xcom_push(key="return_value", value=result.model_dump(mode="json"))
        self.skip(ti, self.get_direct_relatives(upstream=False))

    def _settle_fallback(self, context: Context, result: StepResult) -> None:
        """Where the servers cannot run the version, all that follows works on its fallback."""
        if result.details.get("instead_of") is None:
            return
        settled = {name: result.details[name] for name in ("version", "digest")}
        context["task_state_store"].set(SETTLED_KEY, settled, retention=NEVER_EXPIRE)
        context["ti"].xcom_push(key=SETTLED_KEY, value=settled)

    def _promoted_here(self, context: Context) -> bool:
        """What promote left stays when it is cleared, until it runs again."""
        return context["ti"].xcom_pull(task_ids="promote") is not None


def _events(context: Context) -> list[dict[str, Any]]:
    events = context["triggering_asset_events"]
    return [event.extra for asset in events for event in events[asset]]


def _of_params(context: Context) -> dict[str, Any]:
    params = context["params"]
    return {name: params.get(name) for name in ("version", "digest")}
