"""Run one step in this process: python -m slipway.run --request r.json --result o.json.

Exit status 0: the result file holds a result. 1: it holds a failure. Anything else: the process
died, and the result file is not there.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.contracts import StepFailure, StepOutcome, StepRequest, StepResult
from slipway.errors import SlipwayError
from slipway.keys import step_key
from slipway.lifeline import end_with_parent
from slipway.registry import STEPS
from slipway.steps.base import StepContext
from slipway.workspace_bucket import open_workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.workspace import Workspace

_PASSING = {errno.ENOSPC, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}


def execute(request: StepRequest) -> StepResult:
    """Run a step, or give its result if it is known and `force` is not set.

    Raises:
        SlipwayError: as the step raises it.
    """
    workspace = open_workspace(Path(request.workspace))
    entry = STEPS[request.step]
    if not entry.cached:
        result = _run(request, workspace, key="")
        if result.artifact is not None:
            workspace.note_latest(result)
        return result
    key = step_key(request)
    with workspace.lock(key):
        known = None if request.force else workspace.find(key)
        if known is not None:
            return known
        result = _run(request, workspace, key)
        workspace.remember(result)
        return result


def _run(request: StepRequest, workspace: Workspace, key: str) -> StepResult:
    started = time.monotonic()
    workspace.remove_leftovers()
    with workspace.staging() as folder:
        context = StepContext(request, folder, workspace)
        output = import_module(STEPS[request.step].module).run(context)
        artifact = workspace.keep(folder, output.kind) if output.kind else None
    return StepResult(
        step=request.step,
        model=request.model,
        variant=request.variant,
        key=key,
        artifact=artifact,
        metrics=output.metrics,
        details=output.details,
        duration_seconds=round(time.monotonic() - started, 3),
    )


def outcome_of(request: StepRequest) -> StepOutcome:
    """Run a step and turn whatever happens into an outcome."""
    try:
        return StepOutcome(result=execute(request))
    except SlipwayError as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        return StepOutcome(failure=StepFailure.of(error))
    except Exception as error:  # noqa: BLE001  # the edge of the process: nothing may pass unsaid
        traceback.print_exception(error)
        return StepOutcome(failure=_unexpected(request, error))


def _unexpected(request: StepRequest, error: Exception) -> StepFailure:
    passing = isinstance(error, (ConnectionError, TimeoutError)) or (
        isinstance(error, OSError) and error.errno in _PASSING
    )
    subject = f"{request.model}/{request.variant or request.step}"
    return StepFailure(
        kind="transient" if passing else "terminal",
        message=f"{subject}: the step {request.step} raised {type(error).__name__}: {error}",
        hint="free the resource and try again" if passing else "the traceback is in the step's log",
        subject=subject,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Read a request, run it, write the outcome."""
    parser = argparse.ArgumentParser(prog="python -m slipway.run", description=__doc__)
    parser.add_argument("--request", type=Path, required=True, help="StepRequest as JSON")
    parser.add_argument("--result", type=Path, required=True, help="where StepOutcome is written")
    options = parser.parse_args(arguments)
    request = StepRequest.model_validate_json(options.request.read_text("utf-8"))
    outcome = outcome_of(request)
    outcome.write(options.result)
    return 0 if outcome.result else 1


if __name__ == "__main__":
    end_with_parent()
    # TensorFlow's own threads can hang at exit; the outcome is on the disk by now.
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
