"""Starts runs from within a task: the one place that speaks to Airflow's supervisor itself.

`TriggerDagRunOperator` does the same, but ends its task with the one run that it starts.
"""

from __future__ import annotations

from typing import Any

from slipway.errors import TerminalError, TransientError

# The run itself is wrong; whatever else Airflow answers may be otherwise the next time.
_REFUSED = frozenset({400, 404, 422})


def start_run(dag_id: str, run_id: str, conf: dict[str, Any]) -> bool:
    """Start a run unless it is there.

    Args:
        dag_id: Of which DAG.
        run_id: Under which id.
        conf: Its parameters.

    Returns:
        Whether it was not there.

    Raises:
        TerminalError: Airflow refuses it: no such DAG, or parameters that do not fit its form.
        TransientError: Airflow does not answer.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    subject = f"{dag_id} {run_id}"
    try:
        answer = SUPERVISOR_COMMS.send(TriggerDagRun(dag_id=dag_id, run_id=run_id, conf=conf))
    except AirflowRuntimeError as error:
        detail = error.error.detail or {}
        if detail.get("status_code") in _REFUSED:
            raise TerminalError(
                f"Airflow refuses the run {run_id} of {dag_id}: {detail.get('detail')}",
                hint="mend it: the DAG must be there and take these parameters; then replay it",
                subject=subject,
            ) from None
        raise TransientError(
            f"Airflow did not start the run {run_id} of {dag_id}: {error}",
            hint="read the API server's log; it is tried again",
            subject=subject,
        ) from None
    if isinstance(answer, ErrorResponse):
        return answer.error != ErrorType.DAGRUN_ALREADY_EXISTS
    return True
