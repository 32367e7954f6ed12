"""Import: bring in a SavedModel that was exported elsewhere, without training."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveInt

from slipway.content import tree_digest
from slipway.errors import TerminalError
from slipway.incoming import INCOMING, fetch
from slipway.modelling import keras, saved_model
from slipway.modelling.data import load_split
from slipway.modelling.untrusted import require_safe
from slipway.modelling.warmup import WARMUP_FILE, write_warmup
from slipway.spec.base import StepConfig
from slipway.spec.incoming import IncomingModel
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from slipway.definition import Examples
    from slipway.modelling.saved_model import Signature
    from slipway.steps.base import StepContext

_TRIED_EXAMPLES = 8


class ImportConfig(StepConfig):
    """What is brought in. The digest makes the content part of the step's key."""

    saved_model: str | None = Field(
        description="Folder of the SavedModel, as the spec names it; null: the one that was "
        "dropped, which the request's parameter `incoming` names."
    )
    signature: str = Field("serving_default", description="Signature that is served.")
    saved_model_digest: str = Field(description="slipway.content.tree_digest of the folder.")
    allow_operations: tuple[str, ...] = Field(
        (), description="Operations that the spec lets an untrusted graph hold."
    )
    largest_bytes: PositiveInt | None = Field(
        None, description="A dropped folder with more bytes is refused; null: without limit."
    )
    marker: str | None = Field(
        None, description="File of a dropped folder that only says that it is complete."
    )


def run(context: StepContext) -> StepOutput:
    """Copy the SavedModel, prove that it answers the definition's data, and add warm-up requests.

    It was dropped in a bucket (the request's parameter `incoming`), or is a folder; a relative one
    is resolved against the parameter `spec_folder`. It is not trusted: nothing is loaded before its
    graph was read. Nothing that was exported is changed; warm-up requests are added only where
    there are none.

    Raises:
        TerminalError: if the folder is not a SavedModel, lacks the signature, was changed since
            the request was made, holds operations that the spec does not allow, does not fit the
            data or cannot answer.
        TransientError: if the bucket does not answer.
    """
    config = context.config(ImportConfig)
    keras.make_repeatable(context.request.seed)
    target = context.folder / "saved_model"
    _copy(context, config, target)
    context.say("reads the graph before anything is loaded")
    require_safe(target, config.allow_operations)
    signature = saved_model.choose_signature(context.variant, target, config.signature)
    definition = context.definition()
    examples = load_split(definition, "validation", signature.inputs)
    parameters = _tried(context, target, signature, examples)
    if not (target / WARMUP_FILE).is_file():
        write_warmup(target, context.request.model, signature.name, examples)
    details = {
        "inputs": saved_model.described(signature.inputs),
        "outputs": list(signature.outputs),
        "signature": signature.name,
        "saved_model_digest": config.saved_model_digest,
    }
    return StepOutput("saved_model", {"parameters": float(parameters)}, details)


def _copy(context: StepContext, config: ImportConfig, target: Path) -> None:
    """Bring the SavedModel here, proven to be what the request names."""
    if config.saved_model is not None:
        folder = Path(context.request.parameters.get("spec_folder", "."), config.saved_model)
        _require_unchanged(context, folder, config.saved_model_digest)
        shutil.copytree(folder, target)
        return
    dropped = IncomingModel.model_validate(context.request.parameters[INCOMING])
    context.say(f"fetches {dropped.uri}")
    fetch(dropped, target, largest_bytes=config.largest_bytes)
    if config.marker is not None:
        (target / config.marker).unlink(missing_ok=True)


def _require_unchanged(context: StepContext, folder: Path, expected: str) -> None:
    if not folder.is_dir():
        raise TerminalError(
            f"{context.variant}: there is no SavedModel folder {folder}",
            hint="correct `saved_model` in the spec; it is relative to the spec's folder",
            subject="saved_model",
        )
    if tree_digest(folder) != expected:
        raise TerminalError(
            f"{context.variant}: the SavedModel {folder} is not the one that this run began with",
            hint="start the build again; the folder was changed meanwhile",
            subject=str(folder),
        )


def _tried(context: StepContext, folder: Path, signature: Signature, examples: Examples) -> int:
    """How many parameters the model has, once it has answered a few examples."""
    import numpy as np
    import tensorflow as tf

    context.say(f"asking {signature.name} with {min(len(examples), _TRIED_EXAMPLES)} examples")
    inputs = examples.take(_TRIED_EXAMPLES).inputs
    try:
        loaded: Any = tf.saved_model.load(str(folder))
        answer = loaded.signatures[signature.name]
        answer(**{name: tf.constant(values) for name, values in inputs.items()})
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise TerminalError(
            f"{context.variant}: the SavedModel cannot answer its signature {signature.name!r}: "
            f"{lines[0]}",
            hint="export it again, and ask it once with tf.saved_model.load before importing it",
            subject=signature.name,
        ) from error
    variables = answer.graph.variables or getattr(loaded, "variables", ())
    return int(sum(np.prod(variable.shape) for variable in variables))
