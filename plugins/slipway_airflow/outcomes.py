"""How a task ended, from one task to the next: only references and small figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.contracts import StepFailure, StepOutcome, StepResult
from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.sdk import Context

    from slipway.errors import SlipwayError

FAILURE_KEY = "failure"

_APPROVED_BY = "approved_by"
_LEFT_NOTHING = frozenset({"upstream_failed", "skipped", "removed"})


def leave_failure(context: Context, error: SlipwayError) -> None:
    """Leave a failure for the tasks that decide on failed ones."""
    value = StepFailure.of(error).model_dump(mode="json")
    context["ti"].xcom_push(key=FAILURE_KEY, value=value)


def approved_digest(context: Context, task_id: str) -> str:
    """The digest that a person approved.

    Raises:
        TerminalError: if that task left none, as when it was marked as success by hand.
    """
    left: Any = context["ti"].xcom_pull(task_ids=task_id)
    if not left or "digest" not in left:
        raise TerminalError(
            f"the task {task_id} left no approval, so nothing goes on",
            hint=f"clear {task_id} with Downstream; a person must answer it in the UI",
            subject=task_id,
        )
    return str(left["digest"])


def outcomes_of(context: Context, task_ids: Iterable[str]) -> dict[str, StepOutcome]:
    """How tasks of this run ended, by task id; without those that did not run.

    What a task left in an earlier try stays until it starts again, so a task that was cleared and
    then not run, because one before it failed, is told by its state.
    """
    ti = context["ti"]
    wanted = list(dict.fromkeys(task_ids))
    if not wanted:
        return {}
    found = ti.get_task_states(dag_id=ti.dag_id, task_ids=wanted, run_ids=[ti.run_id])
    states: dict[str, Any] = found.get(ti.run_id, {})
    outcomes: dict[str, StepOutcome] = {}
    for task_id in wanted:
        if states.get(task_id) in _LEFT_NOTHING:
            continue
        outcome = _outcome(context, task_id)
        if outcome is None and states.get(task_id) == "failed":
            outcome = _failed_unsaid(task_id)
        if outcome is not None:
            outcomes[task_id] = outcome
    return outcomes


def _outcome(context: Context, task_id: str) -> StepOutcome | None:
    ti = context["ti"]
    failure = ti.xcom_pull(task_ids=task_id, key=FAILURE_KEY)
    if failure is not None:
        return StepOutcome(failure=StepFailure.model_validate(failure))
    result = ti.xcom_pull(task_ids=task_id)
    # What a person approved is no result of a step; see `approved_digest`.
    if result is None or _APPROVED_BY in result:
        return None
    return StepOutcome(result=StepResult.model_validate(result))


def _failed_unsaid(task_id: str) -> StepOutcome:
    return StepOutcome(
        failure=StepFailure(
            kind="terminal",
            message=f"{task_id} failed without a word: it was killed, or marked as failed",
            hint=f"read the log of {task_id}, then clear it",
            subject=task_id,
        )
    )
