from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slipway.contracts import StepRequest
from slipway.errors import TerminalError, TransientError
from slipway.process import StepProcess, run_step

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW = """\
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print(f"pids {os.getpid()} {child.pid}", flush=True)
time.sleep(300)
"""


@pytest.fixture
def request_for(tmp_path: Path) -> Callable[[str], StepRequest]:
    """A request for a step that imports the model definition, whose code is given."""

    def make(code: str) -> StepRequest:
        definition = tmp_path / "tiny.py"
        definition.write_text(code)
        return StepRequest(
            step="train",
            model="tiny",
            definition=str(definition),
            workspace=str(tmp_path / "workspace"),
        )

    return make


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Slow:
    """A step that runs until it is ended, with a child of its own."""

    def __init__(self, request: StepRequest, timeout_seconds: float = 60) -> None:
        self.pids: list[int] = []
        self.failure: Exception | None = None
        self.process = StepProcess(request, timeout_seconds=timeout_seconds, on_line=self._line)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        wait_until(lambda: bool(self.pids) or not self.thread.is_alive())

    def _line(self, line: str) -> None:
        if line.startswith("pids"):
            self.pids = [int(pid) for pid in line.split()[1:]]

    def _run(self) -> None:
        try:
            self.process.run()
        except (TerminalError, TransientError) as error:
            self.failure = error

    def join(self) -> Exception | None:
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.failure


def test_a_stopped_step_leaves_no_process(request_for: Callable[[str], StepRequest]) -> None:
    slow = Slow(request_for(SLOW))
    slow.process.stop()
    assert isinstance(slow.join(), TransientError)
    wait_until(lambda: all(gone(pid) for pid in slow.pids))


def test_a_killed_step_is_transient_and_leaves_no_process(
    request_for: Callable[[str], StepRequest],
) -> None:
    slow = Slow(request_for(SLOW))
    os.kill(slow.pids[0], signal.SIGKILL)
    failure = slow.join()
    assert isinstance(failure, TransientError)
    assert "ended by SIGKILL" in failure.message
    wait_until(lambda: all(gone(pid) for pid in slow.pids))


def test_a_step_that_runs_out_of_time_is_transient(
    request_for: Callable[[str], StepRequest],
) -> None:
    slow = Slow(request_for(SLOW), timeout_seconds=3)
    failure = slow.join()
    assert isinstance(failure, TransientError)
    assert "still running after 3 s" in failure.message
    wait_until(lambda: all(gone(pid) for pid in slow.pids))


def test_a_step_ends_when_the_process_that_started_it_is_killed(
    request_for: Callable[[str], StepRequest], tmp_path: Path
) -> None:
    file = tmp_path / "request.json"
    request_for(SLOW).write(file)
    code = (
        "from pathlib import Path\n"
        "from slipway.contracts import StepRequest\n"
        "from slipway.process import run_step\n"
        f"run_step(StepRequest.model_validate_json(Path({str(file)!r}).read_text()))\n"
    )
    parent = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    line = next(line for line in parent.stdout if line.startswith("pids"))
    pids = [int(pid) for pid in line.split()[1:]]
    parent.kill()
    parent.wait()
    wait_until(lambda: all(gone(pid) for pid in pids))


def test_a_failure_crosses_the_process_with_its_hint(
    request_for: Callable[[str], StepRequest],
) -> None:
    with pytest.raises(TerminalError) as caught:
        run_step(request_for("import nothing_of_the_kind\n"))
    assert "tiny.py:1 cannot be imported" in caught.value.message
    assert "nothing_of_the_kind" in caught.value.message
    assert caught.value.hint


def test_a_step_that_dies_without_a_result_is_terminal_and_shows_its_last_lines(
    request_for: Callable[[str], StepRequest],
) -> None:
    with pytest.raises(TerminalError) as caught:
        run_step(request_for("import os\nprint('the end', flush=True)\nos._exit(7)\n"))
    assert "ended with status 7" in caught.value.message
    assert "the end" in caught.value.message


def test_an_interpreter_that_is_not_there_is_named(
    request_for: Callable[[str], StepRequest],
) -> None:
    with pytest.raises(TerminalError) as caught:
        run_step(request_for(""), python="/nowhere/python")
    assert caught.value.subject == "execution.python"


def test_secrets_reach_the_step_by_its_environment_and_never_by_the_request(
    request_for: Callable[[str], StepRequest],
) -> None:
    lines: list[str] = []
    request = request_for("import os\nprint(os.environ['AWS_SESSION_TOKEN'])\nos._exit(7)\n")
    with pytest.raises(TerminalError):
        run_step(request, environment={"AWS_SESSION_TOKEN": "passed on"}, on_line=lines.append)
    assert "passed on" in lines
    assert "passed on" not in json.dumps(request.model_dump(mode="json"))
