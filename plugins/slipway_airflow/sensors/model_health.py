"""The health gate of a rollout."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from slipway.contracts import StepFailure, StepResult
from slipway.errors import SlipwayError, TerminalError
from slipway.health import Decision, Judge, JudgeState
from slipway.rollout.subject import Subject
from slipway.spec.plan import HEALTH
from slipway_airflow.hooks.prometheus import look
from slipway_airflow.links import VERSION_LINKS, PrometheusLink
from slipway_airflow.operators.rollout import settled_version
from slipway_airflow.outcomes import leave_failure
from slipway_airflow.triggers.model_health import ModelHealthTrigger

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow.sdk import BaseOperatorLink, Context

    from slipway.contracts import StepOutcome
    from slipway.spec.model import ModelSpec

_PROBE = "probe"
_DEPLOY = "deploy"
_PROMOTE = "promote"
_PROVEN = "proven"

# The judge ends by itself at the policy's timeout; this only catches a triggerer that died.
_SLACK = timedelta(minutes=5)


class ModelHealthSensor(BaseSensorOperator):
    """Judges the canary by Prometheus until its verdict is final.

    Succeeds only if it is healthy, and returns a StepResult whose details hold the `decision`.
    Otherwise it fails at once and for good, with the decision in the failure's details: unhealthy,
    inconclusive and error are no reason to try again, and never one to go on.

    Without the figures of the step `probe`, as when that was marked as success by hand, it fails
    too: what others send may all go to the stable version.

    Cleared after its run promoted the version, it returns the result with which that was done: the
    probe's requests have left the window long since.

    Poking and deferred it takes the same looks in the same way.

    Args:
        spec: The model's spec.
        after: Task id of the step before it, whose figures of a probe are judged too.
        deferrable: Whether to wait in the triggerer instead of on a worker.

    Raises:
        ValueError: for `soft_fail`, `never_fail` and `silent_fail`, which would let an unproven
            canary pass, and for reschedule mode, which would forget the looks.
    """

    template_fields: Sequence[str] = ("queries",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"queries": "json"}
    overwrite_rtif_after_execution = True
    operator_extra_links: Collection[BaseOperatorLink] = (PrometheusLink(), *VERSION_LINKS)
    ui_color = "#e2f0d9"

    def __init__(
        self, *, spec: ModelSpec, after: str = _PROBE, deferrable: bool = True, **kwargs: Any
    ) -> None:
        policy = spec.rollout.health
        super().__init__(poke_interval=policy.interval_seconds, **kwargs)
        if self.soft_fail or self.never_fail or self.silent_fail:
            message = "a health gate must fail: soft_fail, never_fail and silent_fail are refused"
            raise ValueError(message)
        if self.mode != "poke":
            message = "reschedule would forget the looks; use deferrable=True to free the worker"
            raise ValueError(message)
        self.spec = spec
        self.after = after
        self.deferrable = deferrable
        self.queries: dict[str, str] = {}
        self.settled: dict[str, Any] | None = None
        self._judge: Judge | None = None

    def execute(self, context: Context) -> Any:
        """Judge the canary; the StepResult as JSON.

        Raises:
            TerminalError: if it is not healthy.
        """
        try:
            self.settled = settled_version(context)
            proven = _proven(context)
            if proven is not None:
                self.log.info("this run has promoted the version: what proved it then stands")
                return proven
            if self.deferrable:
                self._defer(context)
            return super().execute(context)
        except SlipwayError as error:
            leave_failure(context, error)
            raise

    def poke(self, context: Context) -> PokeReturnValue:
        """Take one look."""
        if self._judge is None:
            self._judge = self._new_judge(context)
            self.queries = self._judge.queries(time.time())
        decision = asyncio.run(look(self._judge, self.spec.rollout.health.connection))
        if decision is None:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._conclude(context, decision))

    def decide(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """What follows from the trigger's event."""
        try:
            self.settled = settled_version(context)
            if "failure" in event:
                raise StepFailure.model_validate(event["failure"]).error()
            return self._conclude(context, Decision.model_validate(event["decision"]))
        except SlipwayError as error:
            leave_failure(context, error)
            raise

    def _defer(self, context: Context) -> None:
        policy = self.spec.rollout.health
        judge = self._new_judge(context)
        self.queries = judge.queries(time.time())
        trigger = ModelHealthTrigger(
            connection_id=policy.connection,
            policy=policy.model_dump(mode="json"),
            subject=self._subject(context).model_dump(mode="json"),
            started_at=judge.state.started_at,
            probe=_figures(context, self.after),
        )
        patience = timedelta(seconds=2 * policy.timeout_seconds) + _SLACK  # it may wait once more
        self.defer(trigger=trigger, method_name="decide", timeout=patience)

    def _new_judge(self, context: Context) -> Judge:
        return Judge(
            self.spec.rollout.health,
            self._subject(context),
            state=JudgeState(started_at=time.time()),
            probe=_figures(context, self.after),
        )

    def _subject(self, context: Context) -> Subject:
        # With all requests at the canary, stable has none to be compared with.
        switched = self.spec.rollout.strategy == "blue_green" and self.after != _PROBE
        deployed = None if switched else context["ti"].xcom_pull(task_ids=_DEPLOY)
        stable = deployed["details"].get("stable_version") if deployed else None
        return Subject.of(
            self.spec.rollout,
            self.spec.serve,
            self.spec.model,
            _version(context),
            stable_version=stable,
            since=_since(context, self.after),
        )

    def _conclude(self, context: Context, decision: Decision) -> dict[str, Any]:
        self.queries = {
            result.check.name: result.check.promql
            for result in decision.results
            if result.check.promql is not None
        }
        for judged in decision.results:
            self.log.info("%s: %s", judged.verdict, judged.reason)
        details = {"decision": decision.model_dump(mode="json")}
        if decision.verdict == "healthy":
            result = StepResult(step=HEALTH, model=self.spec.model, details=details)
            proven = result.model_dump(mode="json")
            context["task_state_store"].set(_PROVEN, proven, retention=NEVER_EXPIRE)
            return proven
        raise TerminalError(
            f"{self.spec.model}: the canary is {decision.verdict}: {'; '.join(decision.reasons)}",
            hint=_HINTS[decision.verdict],
            subject=self.spec.model,
            details=details,
        )


_HINTS = {
    "unhealthy": "it is rolled back; the evidence shows every look",
    # The run's own rollback withdraws the canary, so only deploy can begin again.
    "inconclusive": "the canary is withdrawn; if Prometheus has no such series, let it scrape the "
    "servers with the labels of docs/health.md; if requests were too few, raise "
    "rollout.probe.requests or rollout.health.timeout_seconds; then clear deploy with Downstream, "
    "or roll that version out again",
    "error": "the canary is withdrawn; make Prometheus reachable from the triggerer, then clear "
    "deploy with Downstream, or roll that version out again",
}


def decision_of(outcome: StepOutcome | None) -> dict[str, Any] | None:
    """The decision, as JSON, that the gate left; None if it did not come to one."""
    if outcome is None:
        return None
    left = outcome.result or outcome.failure
    return left.details.get("decision") if left else None


def _proven(context: Context) -> dict[str, Any] | None:
    """The result of this run's gate if the run has promoted the version since."""
    # What promote left stays when it is cleared, until it runs again.
    if context["ti"].xcom_pull(task_ids=_PROMOTE) is None:
        return None
    kept: Any = context["task_state_store"].get(_PROVEN)
    return dict(kept) if kept else None


def _version(context: Context) -> int:
    return int(settled_version(context)["version"])


def _since(context: Context, after: str) -> float | None:
    """When the canary got the share under which it is judged; None while it has none."""
    left = context["ti"].xcom_pull(task_ids=after)
    since = (left or {}).get("details", {}).get("since")
    return None if since is None else float(since)


def _figures(context: Context, after: str) -> dict[str, float] | None:
    """What the step before the gate counted itself; None if clients' requests are enough."""
    left = context["ti"].xcom_pull(task_ids=after)
    if not left:
        raise TerminalError(
            f"the canary was not probed: the task {after} left no figures",
            hint=f"clear deploy with Downstream; {after} must run, not be marked as success",
            subject=after,
        )
    figures = dict(left["metrics"])
    return None if after != _PROBE and not figures else figures
