"""Train the original and export it as a SavedModel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat, PositiveInt

from slipway.modelling import artifacts, keras, training
from slipway.spec.base import StepConfig

if TYPE_CHECKING:
    from slipway.steps.base import StepContext, StepOutput


class TrainConfig(StepConfig):
    """Training of the original."""

    epochs: PositiveInt = Field(10, description="Passes over the training split.")
    batch_size: PositiveInt = Field(32, description="Examples a step.")
    learning_rate: PositiveFloat | None = Field(
        None, description="Replaces the learning rate with which the definition compiled its model."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Free options for a custom training loop."
    )


def run(context: StepContext) -> StepOutput:
    """Build, train and export the definition's model.

    A definition with a `train` function of its own is given the model, the splits and the
    options, and may return figures to report.

    Raises:
        TerminalError: if the data does not fit the model, the definition raises, or the loss or a
            weight is not finite.
    """
    config = context.config(TrainConfig)
    keras.make_repeatable(context.request.seed)
    definition = context.definition()
    model = keras.build(definition, "build_model")
    architecture = keras.Architecture("build_model", keras.output_names(model))
    work = artifacts.open_work(context, definition, model)
    if config.learning_rate is not None:
        model.optimizer.learning_rate = config.learning_rate
    if definition.has("train"):
        context.say("training with the definition's own loop")
        options = {**config.model_dump(mode="json"), "seed": context.request.seed}
        figures = definition.call("train", model, work.train, work.validation, options)
        metrics = artifacts.own_figures(definition, figures)
    else:
        metrics = training.fit(
            context,
            model,
            work.train,
            work.validation,
            epochs=config.epochs,
            batch_size=config.batch_size,
        )
    return artifacts.finish(context, work, model, architecture, metrics)
