"""A person's approval, bound to the digest that was shown."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from slipway.errors import TerminalError
from slipway_airflow.operators.rollout import settled_version
from slipway_airflow.outcomes import leave_failure

if TYPE_CHECKING:
    from airflow.sdk import Context

    from slipway.spec.model import ModelSpec

_SHOWN = "shown"
_PATIENCE = timedelta(days=3)


class RolloutApprovalOperator(ApprovalOperator):
    """Asks a person before a step of a rollout; whoever rejects it rolls it back.

    What was shown is kept, and what was approved is what was shown: if the rollout settles on other
    content meanwhile, the approval is worth nothing and the task fails.

    Args:
        spec: The model's spec.
        step: What is asked for, in words.
        evidence_of: Task id of the step whose details name the evidence.
    """

    def __init__(self, *, spec: ModelSpec, step: str, evidence_of: str, **kwargs: Any) -> None:
        super().__init__(
            subject=f"{spec.model}: {step}?",
            body="",
            fail_on_reject=True,
            response_timeout=_PATIENCE,
            **kwargs,
        )
        self.spec = spec
        self.step = step
        self.evidence_of = evidence_of

    def execute(self, context: Context) -> Any:
        """Show what is to be approved, and wait for an answer."""
        settled = settled_version(context)
        context["task_state_store"].set(_SHOWN, settled, retention=NEVER_EXPIRE)
        self.subject = f"{self.spec.model} version {settled['version']}: {self.step}?"
        self.body = self._body(context, settled)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Approved: version and digest that were shown, and by whom.

        Raises:
            TerminalError: it was rejected, nobody answered in time, or other content was settled
                on meanwhile.
        """
        try:
            return self._conclude(context, event)
        except TerminalError as error:
            leave_failure(context, error)
            raise

    def _conclude(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        shown: Any = context["task_state_store"].get(_SHOWN)
        settled = settled_version(context)
        if "error" in event:
            raise self._refused(f"nobody answered within {_PATIENCE.days} days", settled)
        self.validate_chosen_options(event["chosen_options"])
        person = event.get("responded_by_user") or {}
        name = str(person.get("name") or "somebody")
        if event["chosen_options"] != [self.APPROVE]:
            raise self._refused(f"{name} rejected it", settled)
        if not shown or shown["digest"] != settled["digest"]:
            raise self._refused("other content was approved than is rolled out", settled)
        return {"digest": shown["digest"], "version": shown["version"], "approved_by": name}

    def _refused(self, why: str, settled: dict[str, Any]) -> TerminalError:
        return TerminalError(
            f"version {settled['version']} of {self.spec.model} was not approved ({self.step}): "
            f"{why}",
            hint="it is rolled back; start a new rollout to ask again",
            subject=f"{self.spec.model}/{settled['version']}",
        )

    def _body(self, context: Context, settled: dict[str, Any]) -> str:
        left = context["ti"].xcom_pull(task_ids=self.evidence_of) or {}
        evidence = (left.get("details") or {}).get("evidence", "")
        lines = [
            f"Model: **{self.spec.model}**",
            f"Version: **{settled['version']}**",
            f"Digest: `{settled['digest']}`",
            f"Evidence: `{evidence}`" if evidence else "",
            "",
            "What you approve is this digest. Reject, and the version is withdrawn.",
        ]
        return "\n\n".join(line for line in lines if line)
