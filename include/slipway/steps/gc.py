"""Retention: old versions and what dead publishers left go from the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.serving.upkeep.gc import collect
from slipway.spec.rollout import PublishSpec
from slipway.steps.base import StepOutput
from slipway.storage import open_store

if TYPE_CHECKING:
    from slipway.steps.base import StepContext


def run(context: StepContext) -> StepOutput:
    """See `slipway.serving.upkeep.gc`, whose report is this step's details.

    Raises:
        TerminalError: The ledger or a channel is damaged, or the bucket refuses.
        TransientError: The bucket does not answer.
    """
    spec = PublishSpec.model_validate(context.request.config)
    report = collect(
        open_store(spec.base_uri),
        context.request.model,
        spec.keep_versions,
        progress=lambda removal: context.say(f"{removal.path}: {removal.kind}, {removal.why}"),
    )
    kept = ", ".join(str(version) for version in report.kept) or "none"
    context.say(
        f"{len(report.removed)} went, {report.freed_bytes / 1e6:.1f} MB; these stay: {kept}"
    )
    metrics = {"freed_bytes": float(report.freed_bytes)}
    return StepOutput(metrics=metrics, details=report.model_dump(mode="json"))
