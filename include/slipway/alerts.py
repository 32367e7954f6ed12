"""What an alert says."""

from __future__ import annotations

_TO_DO = {
    "build": "open the run; select's report says why each variant left the race, and each red "
    "task's log ends with a hint. Mend it and clear the red task with Downstream",
    "rollout": "stable was not touched, or the canary was withdrawn; read Evidence, then roll out "
    "again or publish a better version",
    "rollback": "the version that was stable still is; the red task's log ends with a hint. Clear "
    "it with Downstream, or name another version",
}


def alert_text(
    *, model: str, dag_id: str, run_id: str, failed: str, reason: str, serving: str = ""
) -> str:
    """One short text: what failed, for which model, what still serves, and what to do.

    Args:
        model: The model's name.
        dag_id: Whose run it is.
        run_id: Which run.
        failed: The task that failed last, if it is known.
        reason: What Airflow says of it.
        serving: What still serves; empty: not said.
    """
    kind = dag_id.rpartition("__")[2]
    lines = [
        f"{model}: {dag_id} run {run_id} failed"
        if not reason.startswith("it has not")
        else f"{model}: {dag_id} run {run_id}: {reason}",
        f"Task: {failed}" if failed else "",
        f"Still serving: {serving}" if serving else "",
        f"What to do: {_TO_DO.get(kind, 'open the run; the red task says what to do')}.",
    ]
    return "\n".join(line for line in lines if line)
