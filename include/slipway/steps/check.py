"""Check: tries the bucket, reads the definition and asks the doctor, before any work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slipway.doctor import diagnose, gather, refuse_blocked
from slipway.precheck import check_definition
from slipway.spec.model import ModelSpec
from slipway.spec.rollout import PublishSpec
from slipway.steps.base import StepOutput
from slipway.storage import open_store

if TYPE_CHECKING:
    from slipway.steps.base import StepContext
    from slipway.storage import Store


def run(context: StepContext) -> StepOutput:
    """Prove in seconds that the build can publish in the end and that what it plans can work.

    Details: base_uri, and what the doctor found that costs no more than a variant.

    Raises:
        TerminalError: Wrong credentials, no right or no bucket, a definition that Python cannot
            parse or that lacks a function, or something that the doctor knows cannot work.
        TransientError: The bucket's endpoint does not answer.
    """
    config = dict(context.request.config)
    metrics = config.pop("metrics", [])
    spec = PublishSpec.model_validate(config)
    if context.request.definition is not None:
        check_definition(Path(context.request.definition), metrics)
    context.say(f"lists, writes, reads and deletes in {spec.base_uri}")
    found = _findings(context, check_bucket(spec.base_uri))
    return StepOutput(details={"base_uri": spec.base_uri, "findings": found})


def _findings(context: StepContext, store: Store) -> list[str]:
    """What the doctor warns of.

    Raises:
        TerminalError: It found what blocks the build.
    """
    given = context.request.parameters.get("spec")
    if given is None:
        return []
    definition = context.request.definition
    folders = store.list_folders(context.request.model)
    facts = gather(
        ModelSpec.model_validate(given), Path(definition) if definition else None, folders
    )
    found = diagnose(facts)
    refuse_blocked(context.request.model, found)
    warnings = [str(each) for each in found]
    for warning in warnings:
        context.say(f"the doctor: {warning}")
    return warnings


def check_bucket(base_uri: str) -> Store:
    """List, write, read and delete in a bucket; the open store.

    Raises:
        TerminalError: Wrong credentials, no right or no bucket.
        TransientError: The endpoint does not answer.
    """
    store = open_store(base_uri)
    store.check_access()
    return store
