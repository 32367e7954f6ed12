"""Start a step in a process of its own, and be sure that it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.contracts import StepOutcome, StepRequest, StepResult
from slipway.errors import TerminalError, TransientError
from slipway.lifeline import PARENT_VARIABLE
from slipway.registry import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_GRACE_SECONDS = 10
_TAIL_LINES = 15
# What native libraries print as they are loaded: it would push out, or hide, the lines that matter.
_LOADING = re.compile(r"WARNING: All log messages before absl|[IW]\d{4} [\d:.]+ ")
# The process ended itself over what it was given: the same input would end it again.
_CRASHES = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}


class StepProcess:
    """One step in a process group of its own.

    Args:
        request: What to run.
        python: Interpreter; default: this one.
        environment: Added to this process's environment: the place for credentials, which never
            stand in a request.
        timeout_seconds: Time limit of the step.
        on_line: Called with each line that the step prints.
    """

    def __init__(
        self,
        request: StepRequest,
        *,
        python: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 3600,
        on_line: Callable[[str], None] = print,
    ) -> None:
        self.request = request
        self.python = python or sys.executable
        self.environment = step_environment(request.step, environment or {})
        self.timeout_seconds = timeout_seconds
        self.on_line = on_line
        self._process: subprocess.Popen[str] | None = None
        self._timed_out = False
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)

    def run(self) -> StepResult:
        """Run the step to its end.

        Raises:
            SlipwayError: the step's own failure; transient if the process was killed or ran out
                of time; terminal if it died otherwise.
        """
        with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
            request_file, result_file = Path(folder, "request.json"), Path(folder, "result.json")
            self.request.write(request_file)
            with self._started(request_file, result_file) as process:
                self._follow(process)
            if result_file.is_file():
                text = result_file.read_text("utf-8")
                return StepOutcome.model_validate_json(text).unwrap()
            raise self._death(process.returncode)

    def stop(self) -> None:
        """End the step and everything that it started; safe to call at any time."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        _signal_group(process, signal.SIGTERM)
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)

    @contextmanager
    def _started(self, request: Path, result: Path) -> Iterator[subprocess.Popen[str]]:
        command = [self.python, "-m", "slipway.run"]
        command += ["--request", str(request), "--result", str(result)]
        try:
            self._process = process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=self.environment,
                start_new_session=True,
            )
        except OSError as error:
            raise TerminalError(
                f"the interpreter {self.python} cannot be started: {error.strerror}",
                hint="correct execution.python in the spec",
                subject="execution.python",
            ) from None
        timer = threading.Timer(self.timeout_seconds, self._run_out)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            self.stop()
            process.wait()

    def _run_out(self) -> None:
        self._timed_out = True
        self.stop()

    def _follow(self, process: subprocess.Popen[str]) -> None:
        for raw in process.stdout or ():
            line = raw.rstrip()
            if not _LOADING.match(line):
                self._tail.append(line)
            self.on_line(line)
        process.wait()

    def _death(self, status: int) -> Exception:
        name = f"{self.request.model}/{self.request.variant or self.request.step}"
        if self._timed_out:
            return TransientError(
                f"{name}: the step {self.request.step} was still running after "
                f"{self.timeout_seconds:g} s and was stopped",
                hint="raise execution.step_timeout_seconds if it needs longer",
                subject=name,
            )
        if status < 0:
            cause = signal.Signals(-status).name
            if -status in _CRASHES:
                return TerminalError(
                    f"{name}: the step {self.request.step} crashed with {cause}; its last lines:\n"
                    + "\n".join(self._tail),
                    hint="a native library gave up on this input; the lines above name the place",
                    subject=name,
                )
            return TransientError(
                f"{name}: the process of the step {self.request.step} was ended by {cause}",
                hint="SIGKILL is most often the kernel, out of memory; give it more or retry",
                subject=name,
            )
        tail = "\n".join(self._tail)
        return TerminalError(
            f"{name}: the step {self.request.step} ended with status {status} and no result; "
            f"its last lines:\n{tail}",
            hint="check that `slipway` is installed for this interpreter",
            subject=name,
        )


def run_step(
    request: StepRequest,
    *,
    python: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 3600,
    on_line: Callable[[str], None] = print,
) -> StepResult:
    """Run a step in a process of its own; see StepProcess."""
    process = StepProcess(
        request,
        python=python,
        environment=environment,
        timeout_seconds=timeout_seconds,
        on_line=on_line,
    )
    return process.run()


def step_environment(step: str, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a step's process: this one's, made repeatable, and `extra`."""
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
        "TF_DETERMINISTIC_OPS": "1",
        PARENT_VARIABLE: str(os.getpid()),
        **extra,
    }
    if STEPS[step].legacy_keras:
        environment["TF_USE_LEGACY_KERAS"] = "1"
    return environment


def _signal_group(process: subprocess.Popen[str], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
