"""Check: tries the bucket and reads the model definition, before any work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slipway.precheck import check_definition
from slipway.spec.rollout import PublishSpec
from slipway.steps.base import StepOutput
from slipway.storage import open_store

if TYPE_CHECKING:
    from slipway.steps.base import StepContext


def run(context: StepContext) -> StepOutput:
    """Prove in seconds that the build can publish in the end and that its definition is one.

    Raises:
        TerminalError: Wrong credentials, no right or no bucket, or a definition that Python cannot
            parse or that lacks a function.
        TransientError: The bucket's endpoint does not answer.
    """
    config = dict(context.request.config)
    metrics = config.pop("metrics", [])
    spec = PublishSpec.model_validate(config)
    if context.request.definition is not None:
        check_definition(Path(context.request.definition), metrics)
    context.say(f"lists, writes, reads and deletes in {spec.base_uri}")
    check_bucket(spec.base_uri)
    return StepOutput(details={"base_uri": spec.base_uri})


def check_bucket(base_uri: str) -> None:
    """List, write, read and delete in a bucket.

    Raises:
        TerminalError: Wrong credentials, no right or no bucket.
        TransientError: The endpoint does not answer.
    """
    open_store(base_uri).check_access()
