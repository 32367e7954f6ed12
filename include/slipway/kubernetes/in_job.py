"""What a Job runs: python -m slipway.kubernetes.in_job.

It brings what the step works on from the workspace bucket, runs the step in a process of its own
as a worker would, and leaves artifact and outcome in the bucket. Exit status 0: the outcome is a
result; 1: a failure. A failure also becomes the container's termination message, in case the
bucket is what fails.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from slipway.contracts import StepFailure, StepOutcome
from slipway.errors import SlipwayError, TerminalError
from slipway.kubernetes.job_manifest import JOB_NAME, JOB_UID, SCRATCH
from slipway.kubernetes.job_request import JobRequest, outcome_path, receive, request_path
from slipway.process import run_step
from slipway.storage import open_store
from slipway.workspace_bucket import WORKSPACE_URI, SharedWorkspace, WorkspaceBucket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.contracts import StepResult

TERMINATION_MESSAGE = Path("/dev/termination-log")
_MESSAGE_BYTES = 4000  # Kubernetes keeps 4096
_TERMINATED = 128 + signal.SIGTERM
_OOM_COUNTERS = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
)


def run_job(environ: Mapping[str, str], folder: Path) -> StepOutcome:
    """Run the step that the environment names; how it ended, which then is in the bucket too.

    Args:
        environ: With SLIPWAY_WORKSPACE_URI, SLIPWAY_JOB_NAME, SLIPWAY_JOB_UID.
        folder: An empty folder to work in.

    Raises:
        SlipwayError: the bucket could not be read or written.
    """
    name = environ[JOB_NAME]
    bucket = WorkspaceBucket(open_store(environ[WORKSPACE_URI]))
    found = bucket.store.get(request_path(name))
    if found is None:
        raise TerminalError(
            f"the request of the Job {name} is not in the workspace bucket {bucket.store.uri}",
            hint="clear the task; Jobs are made by Slipway, not by hand",
            subject=name,
        )
    job = JobRequest.model_validate_json(found.data)
    workspace = SharedWorkspace(folder / "workspace", bucket)
    try:
        outcome = StepOutcome(result=_run(job, workspace, folder))
        workspace.share(outcome)
    except SlipwayError as error:
        outcome = StepOutcome(failure=StepFailure.of(error))
    text = outcome.model_dump_json(indent=1)
    bucket.store.put(outcome_path(name, environ[JOB_UID]), text.encode())
    return outcome


def _run(job: JobRequest, workspace: SharedWorkspace, folder: Path) -> StepResult:
    request = receive(job, workspace, folder)
    before = oom_kills()
    try:
        return run_step(
            request,
            timeout_seconds=job.timeout_seconds,
            on_line=lambda line: print(line, flush=True),  # noqa: T201  # stdout is the log
        )
    except SlipwayError:
        if oom_kills() > before:
            raise out_of_memory(f"{request.model}/{request.variant or request.step}") from None
        raise


def out_of_memory(subject: str) -> TerminalError:
    """The error of a step that needed more memory than its container may have.

    Terminal: the next try would get the same limit.
    """
    return TerminalError(
        f"{subject}: the step ran out of memory: the kernel ended it at its container's limit",
        hint="raise resources.memory of its runtime in execution.runtimes",
        subject=subject,
    )


def oom_kills() -> int:
    """How many processes of this container the kernel has ended for want of memory."""
    for file in _OOM_COUNTERS:
        try:
            lines = file.read_text("ascii").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def main() -> int:
    """Run the step; the exit status."""
    # A container's first process gets no signal that it does not ask for; with it all others end.
    signal.signal(signal.SIGTERM, _end)
    try:
        outcome = run_job(os.environ, Path(tempfile.mkdtemp(dir=SCRATCH)))
    except SlipwayError as error:
        print(error, flush=True)  # noqa: T201  # stdout is the log
        outcome = StepOutcome(failure=StepFailure.of(error))
    if outcome.failure is not None:
        _leave_message(outcome.failure)
    return 0 if outcome.failure is None else 1


def _leave_message(failure: StepFailure) -> None:
    """As JSON; what is too long for Kubernetes is in the bucket."""
    short = failure.model_copy(update={"details": {}})
    text = short.model_dump_json().encode()
    if len(text) > _MESSAGE_BYTES:
        message = short.message[: _MESSAGE_BYTES // 4]
        text = short.model_copy(update={"message": message}).model_dump_json().encode()
    TERMINATION_MESSAGE.write_bytes(text)


def _end(*_: object) -> NoReturn:
    os._exit(_TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
