"""What an alert says."""

from __future__ import annotations

_CLEAR = "clear it with Downstream"
_WITHDREW = (
    "the withdrawal itself failed: the canary may still get requests, or the version is stable "
    "already; its log says which. Mend that and clear it"
)
_LATE = {
    "build": "open the run; let the task that works go on, or mark it as failed, which stops it "
    "at once",
    "rollout": "open the run: its task may wait for an approval, for pods or for requests. "
    "Let it go on, or mark it as failed: then rollback withdraws the canary",
    "rollback": "open the run; let the task that works go on, or mark it as failed: then the "
    "version is withdrawn",
}
_FAILED = {
    "build": "open the run; select's report says why each variant left the race, and each red "
    f"task's log ends with a hint. Mend it and {_CLEAR}",
    "rollout": "what was stable before still is; the canary, if there was one, was withdrawn. Read "
    "Evidence, then roll out again or publish a better version",
    "rollback": "the version that was stable still is; the red task's log ends with a hint. "
    "Clear deploy with Downstream, or name another version",
}
_FAILED_AT = {
    ("rollout", "gc"): "the version was promoted and serves; only clearing up the bucket failed. "
    "The log of gc ends with a hint: mend that and clear gc",
    ("rollout", "preflight"): "nothing was touched. The log of preflight ends with a hint: mend "
    f"that and {_CLEAR}",
    ("rollback", "preflight"): "nothing was touched. The log of preflight ends with a hint: mend "
    f"that and {_CLEAR}, or name another version",
    ("rollout", "rollback"): _WITHDREW,
    ("rollback", "withdraw"): _WITHDREW,
}


def alert_text(
    *,
    model: str,
    dag_id: str,
    run_id: str,
    failed: str,
    reason: str,
    serving: str,
    late: bool = False,
) -> str:
    """One short text: what failed, for which model, what still serves, and what to do.

    Args:
        model: The model's name.
        dag_id: Whose run it is.
        run_id: Which run.
        failed: The task that failed last, if it is known.
        reason: What Airflow says of it; how late it is.
        serving: What serves now.
        late: Whether the run has not failed, but has not ended either.
    """
    run = f"{model}: {dag_id} run {run_id}"
    lines = [
        f"{run}: {reason}" if late else f"{run} failed",
        f"Task: {failed}" if failed else "",
        f"Still serving: {serving}",
        f"What to do: {_to_do(dag_id.rpartition('__')[2], failed, late=late)}.",
    ]
    return "\n".join(line for line in lines if line)


def _to_do(kind: str, failed: str, *, late: bool) -> str:
    if late:
        return _LATE.get(kind, "open the run; let it go on, or mark its task as failed")
    told = _FAILED_AT.get((kind, failed)) or _FAILED.get(kind)
    return told or "open the run; the red task's log ends with a hint"
