"""What the steps that make a "keras" artifact have in common: the data, and the finish."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.modelling import export, keras, saved_model, training
from slipway.modelling.data import load_split
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.definition import Definition, Examples
    from slipway.steps.base import StepContext


@dataclass(frozen=True)
class Work:
    """A definition's data, checked against the signature that is served.

    Attributes:
        inputs: tf.TensorSpec by input name.
        train: What models learn from.
        validation: What they are judged on while they learn.
    """

    inputs: dict[str, Any]
    train: Examples
    validation: Examples


def open_work(context: StepContext, definition: Definition, model: Any) -> Work:
    """Load the splits that training needs.

    Raises:
        TerminalError: if the data does not fit the model's inputs.
    """
    inputs = export.signature_inputs(model, definition)
    train = load_split(definition, "train", inputs)
    validation = load_split(definition, "validation", inputs)
    context.say(f"{len(train)} examples to train, {len(validation)} to validate")
    return Work(inputs, train, validation)


def own_figures(definition: Definition, figures: object) -> dict[str, float]:
    """What a training loop of the user's own gave back, as metrics; nothing is fine too.

    Raises:
        TerminalError: if it is not a dict of finite numbers.
    """
    if figures is None:
        return {}
    place = f"train in {definition.file.name}"
    if not isinstance(figures, dict):
        raise TerminalError(
            f"{place} returned {type(figures).__name__}",
            hint="return None, or a dict of figures such as {'train_loss': 0.1}",
            subject=str(definition.file),
        )
    for name, value in figures.items():
        if not math.isfinite(float(value)):
            raise TerminalError(
                f"{place}: {name} is {value}",
                hint="lower the learning rate, or look for NaN in the training data",
                subject=str(definition.file),
            )
    return {str(name): float(value) for name, value in figures.items()}


def finish(
    context: StepContext,
    work: Work,
    model: Any,
    architecture: keras.Architecture,
    metrics: Mapping[str, float],
    details: Mapping[str, Any] | None = None,
) -> StepOutput:
    """Leave the model in the context's folder as a "keras" artifact.

    Raises:
        TerminalError: if a weight is not finite.
    """
    training.require_finite_weights(context, model)
    context.say("exporting")
    export.export_keras(
        model,
        context.folder / "saved_model",
        inputs=work.inputs,
        outputs=architecture.outputs,
        warmup=work.validation,
        name=context.request.model,
    )
    keras.save_weights(model, architecture, context.folder)
    figures = {**metrics, "parameters": float(keras.parameter_count(model))}
    facts = {
        "inputs": saved_model.described(work.inputs),
        "outputs": list(architecture.outputs),
        "signature": export.SIGNATURE,
        **(details or {}),
    }
    return StepOutput("keras", figures, facts)
