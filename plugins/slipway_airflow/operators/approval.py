"""A person's approval, bound to the digest that was shown."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.execution_time.context import NEVER_EXPIRE

from slipway.errors import TerminalError
from slipway_airflow.links import VERSION_LINKS, BucketLink, ReportLink, report_page
from slipway_airflow.operators.rollout import settled_version
from slipway_airflow.outcomes import leave_failure, outcomes_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow.sdk import BaseOperatorLink, Context

    from slipway.spec.model import ModelSpec

SELECT = "select"

_SHOWN = "shown"
_PATIENCE = timedelta(days=3)
_SHOWN_METRICS = 8


class DigestApprovalOperator(ApprovalOperator):
    """Asks a person about content that has a digest.

    What was shown is kept, and what was approved is what was shown: if the run settles on other
    content meanwhile, the approval is worth nothing and the task fails.

    Args:
        spec: The model's spec.
        step: What is asked for, in words.
    """

    hint = ""
    other_content = ""

    def __init__(self, *, spec: ModelSpec, step: str, **kwargs: Any) -> None:
        super().__init__(
            subject=f"{spec.model}: {step}?",
            body="",
            fail_on_reject=True,
            response_timeout=_PATIENCE,
            **kwargs,
        )
        self.spec = spec
        self.step = step
        self.settled: dict[str, Any] | None = None

    def execute(self, context: Context) -> Any:
        """Show what is to be approved, and wait for an answer."""
        self.settled = settled = self._settled(context)
        context["task_state_store"].set(_SHOWN, settled, retention=NEVER_EXPIRE)
        self.subject = f"{self.spec.model} {self._name(settled)}: {self.step}?"
        self.body = "\n\n".join(line for line in self._lines(context, settled) if line)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Approved: what was shown, with its digest, and by whom.

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
        self.settled = settled = self._settled(context)
        if "error" in event:
            raise self._refused(f"nobody answered within {_PATIENCE.days} days", settled)
        self.validate_chosen_options(event["chosen_options"])
        person = event.get("responded_by_user") or {}
        name = str(person.get("name") or "somebody")
        if event["chosen_options"] != [self.APPROVE]:
            raise self._refused(f"{name} rejected it", settled)
        if not shown or shown["digest"] != settled["digest"]:
            raise self._refused(self.other_content, settled)
        return {**shown, "approved_by": name}

    def _refused(self, why: str, settled: dict[str, Any]) -> TerminalError:
        name = self._name(settled)
        return TerminalError(
            f"{name} of {self.spec.model} was not approved ({self.step}): {why}",
            hint=self.hint,
            subject=f"{self.spec.model}/{name.rpartition(' ')[2]}",
        )

    def _settled(self, context: Context) -> dict[str, Any]:
        """What the run has settled on, with its digest."""
        raise NotImplementedError

    def _name(self, settled: dict[str, Any]) -> str:
        """What a person calls it."""
        raise NotImplementedError

    def _lines(self, context: Context, settled: dict[str, Any]) -> list[str]:
        """What is shown, as Markdown; empty lines are left out."""
        raise NotImplementedError


class RolloutApprovalOperator(DigestApprovalOperator):
    """Asks a person before a step of a rollout; whoever rejects it rolls it back.

    Args:
        spec: The model's spec.
        step: What is asked for, in words.
        evidence_of: Task id of the step whose details name the evidence.
    """

    operator_extra_links: Collection[BaseOperatorLink] = VERSION_LINKS
    hint = "it is rolled back; start a new rollout to ask again"
    other_content = "other content was approved than is rolled out"

    def __init__(self, *, evidence_of: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.evidence_of = evidence_of

    def _settled(self, context: Context) -> dict[str, Any]:
        return settled_version(context)

    def _name(self, settled: dict[str, Any]) -> str:
        return f"version {settled['version']}"

    def _lines(self, context: Context, settled: dict[str, Any]) -> list[str]:
        left = context["ti"].xcom_pull(task_ids=self.evidence_of) or {}
        evidence = (left.get("details") or {}).get("evidence", "")
        return [
            f"Model: **{self.spec.model}**",
            f"Version: **{settled['version']}**",
            f"Digest: `{settled['digest']}`",
            f"Evidence: `{evidence}`" if evidence else "",
            "What you approve is this digest. Reject, and the version is withdrawn.",
        ]


class PublishApprovalOperator(DigestApprovalOperator):
    """Asks a person whether the winner is published; whoever rejects it ends the build.

    Args:
        spec: The model's spec.
    """

    operator_extra_links: Collection[BaseOperatorLink] = (ReportLink(), BucketLink())
    selected: dict[str, Any] | None = None
    hint = "nothing was published; clear select with Downstream to be asked again"
    other_content = "other content was approved than was selected since"

    def __init__(self, *, spec: ModelSpec, **kwargs: Any) -> None:
        super().__init__(spec=spec, step="Publish the winner", **kwargs)

    def _settled(self, context: Context) -> dict[str, Any]:
        details = self._selected(context)
        return {
            "variant": str(details["winner"]),
            "digest": str(details["winner_artifact"]["digest"]),
        }

    def _selected(self, context: Context) -> dict[str, Any]:
        outcome = outcomes_of(context, [SELECT]).get(SELECT)
        if outcome is None:
            raise TerminalError(
                f"{self.spec.model}: {SELECT} left no winner, so there is nothing to approve",
                hint=f"clear {SELECT} with Downstream; it must run, not be marked as success",
                subject=SELECT,
            )
        self.selected = outcome.unwrap().details
        return self.selected

    def _name(self, settled: dict[str, Any]) -> str:
        return f"variant {settled['variant']}"

    def _lines(self, context: Context, settled: dict[str, Any]) -> list[str]:
        details = self._selected(context)
        metrics = [
            f"| {name} | {_figure(name, value)} |"
            for name, value in list((details.get("metrics") or {}).items())[:_SHOWN_METRICS]
        ]
        report = report_page(self.spec.model, details)
        return [
            f"Model: **{self.spec.model}**",
            f"Winner: **{settled['variant']}**",
            f"Digest: `{settled['digest']}`",
            "\n".join(["| figure | value |", "|---|---|", *metrics]) if metrics else "",
            f"[Report on all variants]({report})" if report else "",
            "What you approve is this digest. Reject, and nothing is published.",
        ]


def _figure(name: str, value: float) -> str:
    return f"{value:,.0f}" if name.endswith("_bytes") else f"{value:.4g}"
