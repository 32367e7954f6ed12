"""Publish: the winner becomes a version in the bucket."""

from __future__ import annotations

import math
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field
from rich.filesize import decimal

from slipway.content import bytes_digest
from slipway.contracts import ArtifactRef, Contract
from slipway.errors import TerminalError
from slipway.evaluation.facts import TensorFacts
from slipway.serving.catalog import retain
from slipway.serving.engine import Engine, Fallback
from slipway.serving.layout import Provenance, Technique
from slipway.serving.publish import publish
from slipway.serving.triton import model_config
from slipway.spec.rollout import PublishSpec
from slipway.steps.base import StepOutput
from slipway.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.serving.publish import Published
    from slipway.steps.base import StepContext
    from slipway.storage import Store

SELECT = "select"

_FRAMEWORKS = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-litert")
# Often enough to see that it moves, seldom enough for a log that is kept.
_SAY_SECONDS = 3.0


class GoldenFile(Contract):
    """The winner's golden requests: path and sha256."""

    uri: str
    digest: str


class Selected(Contract):
    """What the step `select` says of the winner.

    Attributes:
        winner: The variant.
        winner_artifact: Its artifact.
        golden: The golden requests that it answered when it was validated.
        metrics: The figures with which it passed.
        chain: The techniques from the original to it.
        inputs: By name, as it was validated.
        outputs: The same.
        max_batch_size: The largest batch that it was made for; None if nothing says.
        engine: What its TensorRT engines are bound to; None: it has none.
        fallback: The variant that serves where those engines cannot, told of in the same way.
    """

    winner: str
    winner_artifact: ArtifactRef
    golden: GoldenFile
    metrics: dict[str, float]
    chain: tuple[str, ...] = ()
    inputs: dict[str, TensorFacts] = Field(default_factory=dict)
    outputs: dict[str, TensorFacts] = Field(default_factory=dict)
    max_batch_size: int | None = None
    engine: Engine | None = None
    fallback: Selected | None = None


def run(context: StepContext) -> StepOutput:
    """Publish the winner with its golden requests, then let the oldest versions go.

    Details: version, digest, uri, variant, already_published, uploaded_bytes and
    removed_versions. Metrics, the time for the digests included: uploaded_bytes, transfer_seconds,
    transfer_bytes_per_second and requests. What was published before is published again under its
    number, and nothing is sent or removed.

    Raises:
        TerminalError: No variant was selected, its artifact or golden requests are not what was
            validated, or the bucket refuses.
        TransientError: The bucket does not answer.
    """
    spec = PublishSpec.model_validate(context.request.config)
    selected = read_selected(context)
    _refuse_unapproved(context, selected)
    store = open_store(spec.base_uri)
    began = time.monotonic()
    engine = selected.engine
    if engine is not None and selected.fallback is not None:
        other = _publish(context, store, selected.fallback, None)
        context.say(f"version {other.version} is {selected.fallback.winner}, the fallback")
        named = Fallback(
            variant=selected.fallback.winner, version=other.version, digest=other.digest
        )
        engine = engine.model_copy(update={"fallback": named})
    published = _publish(context, store, selected, engine)
    seconds = time.monotonic() - began
    # Nothing new, nothing to make room for: and what was just named must not go.
    fresh = not published.already_published
    removed = retain(store, context.request.model, spec.keep_versions) if fresh else ()
    state = "is published" if fresh else "was published before"
    context.say(
        f"version {published.version} {state}: {published.uri} "
        f"({decimal(published.uploaded_bytes)} in {seconds:.1f} s, "
        f"{published.requests} requests)"
    )
    details = {
        "version": published.version,
        "digest": published.digest,
        "uri": published.uri,
        "variant": selected.winner,
        "already_published": published.already_published,
        "uploaded_bytes": published.uploaded_bytes,
        "removed_versions": list(removed),
    }
    metrics = {
        "uploaded_bytes": float(published.uploaded_bytes),
        "transfer_seconds": seconds,
        "transfer_bytes_per_second": published.uploaded_bytes / max(seconds, 1e-9),
        "requests": float(published.requests),
    }
    return StepOutput(metrics=metrics, details=details)


def _publish(
    context: StepContext, store: Store, selected: Selected, engine: Engine | None
) -> Published:
    return publish(
        store,
        context.request.model,
        selected.winner_artifact.servable,
        variant=selected.winner,
        metrics={name: value for name, value in selected.metrics.items() if math.isfinite(value)},
        provenance=_provenance(context, selected),
        golden=_golden(selected.golden),
        files=context.workspace.servable_files(selected.winner_artifact),
        progress=_progress(context),
        removes_later=True,
        engine=engine,
        triton_config=_triton_config(context.request.model, selected),
    )


def _triton_config(model: str, selected: Selected) -> str | None:
    kind = selected.winner_artifact.kind
    if kind not in {"onnx", "tensorrt"}:
        return None
    return model_config(
        model,
        "onnx" if kind == "onnx" else "tensorrt",
        selected.inputs,
        selected.outputs,
        selected.max_batch_size,
    )


def read_selected(context: StepContext) -> Selected:
    """What was selected.

    Raises:
        SlipwayError: The failure of the selection.
    """
    outcome = context.request.results.get(SELECT)
    if outcome is None:
        raise TerminalError(
            f"{context.request.model}: nothing was selected, so there is nothing to publish",
            hint="run the step select first",
            subject=SELECT,
        )
    details: dict[str, Any] = outcome.unwrap().details
    return Selected.model_validate(
        {name: details[name] for name in Selected.model_fields if name in details}
    )


def _refuse_unapproved(context: StepContext, selected: Selected) -> None:
    approved, digest = context.request.parameters.get("approved"), selected.winner_artifact.digest
    if approved not in {None, digest}:
        raise TerminalError(
            f"{context.request.model}: {selected.winner} has digest {digest[:12]}, but "
            f"{str(approved)[:12]} was approved",
            hint="nothing was published; clear select with Downstream and approve what it shows",
            subject=selected.winner,
        )


def _golden(file: GoldenFile) -> bytes:
    path = Path(file.uri)
    data = path.read_bytes() if path.is_file() else None
    if data is None or bytes_digest(data) != file.digest:
        state = "gone" if data is None else "not the validated ones"
        raise TerminalError(
            f"the golden requests {path} are {state}",
            hint="run the validation of the winner again; the workspace changed since",
            subject=file.uri,
        )
    return data


def _provenance(context: StepContext, selected: Selected) -> Provenance:
    parameters = context.request.parameters
    return Provenance(
        techniques=tuple(Technique(name=name) for name in selected.chain),
        source_digest=selected.winner_artifact.digest,
        spec_digest=parameters.get("spec_digest"),
        run=parameters.get("run_id"),
        frameworks=_frameworks(),
    )


def _frameworks() -> dict[str, str]:
    found = {}
    for name in _FRAMEWORKS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _progress(context: StepContext) -> Callable[[int, int], None]:
    """Says how far the upload is and how fast, every few seconds and when it is over."""
    began = said = time.monotonic()

    def show(sent: int, total: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= _SAY_SECONDS or (sent >= total and total):
            said = now
            rate = int(sent / max(now - began, 1e-9))
            context.say(f"sent {decimal(sent)} of {decimal(total)}, {decimal(rate)}/s")

    return show
