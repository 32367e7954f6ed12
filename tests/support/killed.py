"""A rollout step in a process that a test can kill: forked from a clean one, so it is quick."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from slipway.contracts import StepRequest

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "slipway.run",
        "slipway.steps.deploy",
        "slipway.steps.promote",
        "slipway.steps.rollback",
        "slipway.storage.s3",
        "tensorflow_serving.config.model_server_config_pb2",
    ]
)


def start_step(request: StepRequest, environment: dict[str, str]) -> BaseProcess:
    """Starts a step and returns at once."""
    process = _CONTEXT.Process(target=_run, args=(request.model_dump_json(), environment))
    process.start()
    return process


def _run(request: str, environment: dict[str, str]) -> None:
    import os

    from slipway.contracts import StepRequest
    from slipway.run import execute

    os.environ.update(environment)
    execute(StepRequest.model_validate_json(request))
