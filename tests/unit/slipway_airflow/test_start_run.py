"""Which of Airflow's answers end an event for good."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse

from slipway.errors import TerminalError, TransientError
from slipway_airflow.runs import start_run


class Supervisor:
    """Answers as Airflow's does when its API refuses."""

    def __init__(self, status: int) -> None:
        self.status = status

    def send(self, message: Any) -> None:
        assert message.run_id == "event__1"
        detail = {"status_code": self.status, "detail": "refused"}
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, TerminalError) for status in (400, 404, 422)),
        *((status, TransientError) for status in (401, 403, 408, 429, 500, 503)),
    ],
)
def test_only_what_is_wrong_with_the_run_itself_ends_an_event(
    monkeypatch: pytest.MonkeyPatch, status: int, kind: type[Exception]
) -> None:
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(status), raising=False)
    with pytest.raises(kind):
        start_run("digits__build", "event__1", {})
