"""Prune: set the smallest weights to zero while training goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from slipway.errors import TerminalError
from slipway.modelling import artifacts, keras, layers, training
from slipway.spec.base import Ratio, StepConfig

if TYPE_CHECKING:
    from slipway.steps.base import StepContext, StepOutput

Sparsity = Annotated[float, Field(ge=0.0, lt=1.0)]


class PruneConfig(StepConfig):
    """Magnitude pruning by tensorflow-model-optimization, stripped on export."""

    schedule: Literal["constant", "polynomial"] = Field(
        "polynomial", description="Whether sparsity is final from the start or grows to it."
    )
    initial_sparsity: Sparsity = Field(0.0, description="Sparsity at the start, polynomial only.")
    final_sparsity: Sparsity = Field(0.8, description="Share of weights that are zero at the end.")
    epochs: PositiveInt = Field(4, description="Passes over the training split.")
    begin_epoch: NonNegativeInt = Field(0, description="Epoch at which pruning starts.")
    end_epoch: PositiveInt | None = Field(
        None,
        description="Epoch by which sparsity is final, polynomial only; the mask then stays and "
        "the epochs after it recover accuracy. Default: two thirds of the way.",
    )
    frequency_steps: PositiveInt = Field(10, description="Training steps between two prunings.")
    batch_size: PositiveInt = Field(32, description="Examples a step.")
    learning_rate: PositiveFloat | None = Field(None, description="Default: as in training.")
    layers: tuple[str, ...] | None = Field(
        None, description="Names of the layers to prune; default: every layer that can be."
    )
    sparsity_tolerance: Ratio = Field(
        0.01, description="How far below final_sparsity the result may be."
    )

    @model_validator(mode="after")
    def _grows(self) -> PruneConfig:
        if self.schedule == "polynomial" and self.initial_sparsity > self.final_sparsity:
            msg = "initial_sparsity is larger than final_sparsity"
            raise ValueError(msg)
        if self.begin_epoch >= self.epochs:
            msg = f"begin_epoch {self.begin_epoch} leaves no epoch of {self.epochs} to prune in"
            raise ValueError(msg)
        if self.end_epoch is not None and not self.begin_epoch < self.end_epoch <= self.epochs:
            msg = (
                f"end_epoch {self.end_epoch} is not between begin_epoch {self.begin_epoch} and "
                f"epochs {self.epochs}"
            )
            raise ValueError(msg)
        return self


def run(context: StepContext) -> StepOutput:
    """Prune while training on, strip the wrappers and verify the zeros.

    Raises:
        TerminalError: if a named layer does not exist or has nothing to prune, no layer can be
            pruned, or a kernel stays short of the sparsity.
    """
    import tensorflow_model_optimization as tfmot

    config = context.config(PruneConfig)
    keras.make_repeatable(context.request.seed)
    definition = context.definition()
    model, architecture = keras.load_model(context, definition)
    layers.require_graph(context, model)
    work = artifacts.open_work(context, definition, model)
    kernels = layers.prunable_kernels(model)
    chosen = layers.choose(context, list(kernels), config.layers, list(layers.leaf_layers(model)))
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(
        model,
        pruning_schedule=_schedule(config, len(work.train)),
        pruning_policy=_Only(frozenset(chosen)),
    )
    training.compile_like(wrapped, model, config.learning_rate)
    metrics = training.fit(
        context,
        wrapped,
        work.train,
        work.validation,
        epochs=config.epochs,
        batch_size=config.batch_size,
        callbacks=[tfmot.sparsity.keras.UpdatePruningStep()],
    )
    stripped = tfmot.sparsity.keras.strip_pruning(wrapped)
    keras.set_weights(model, stripped.get_weights(), f"{context.variant}: strip_pruning")
    reached = {
        variable.name: _verified(context, variable, config)
        for name in chosen
        for variable in kernels[name]
    }
    metrics["sparsity"] = layers.zero_share_of_all(kernels[name] for name in chosen)
    details = {"sparsity_by_kernel": reached, "pruned_layers": chosen}
    return artifacts.finish(context, work, model, architecture, metrics, details)


@dataclass(frozen=True)
class _Only:
    """tfmot's pruning policy: prune these layers and leave the others as they are."""

    layers: frozenset[str]

    def allow_pruning(self, layer: Any) -> bool:
        return layer.name in self.layers

    def ensure_model_supports_pruning(self, model: Any) -> None:
        """The layers were chosen among those that can be pruned."""


def _schedule(config: PruneConfig, examples: int) -> Any:
    """The schedule in training steps.

    tfmot prunes only in steps begin + n * frequency; the end is put on such a step, because
    sparsity would otherwise stay below its final value.
    """
    from tensorflow_model_optimization.sparsity.keras import ConstantSparsity, PolynomialDecay

    steps_per_epoch = math.ceil(examples / config.batch_size)
    begin = config.begin_epoch * steps_per_epoch
    if config.schedule == "constant":
        return ConstantSparsity(config.final_sparsity, begin, frequency=config.frequency_steps)
    recover = (config.epochs - config.begin_epoch) // 3
    end_epoch = config.end_epoch or config.epochs - recover
    prunings = (end_epoch * steps_per_epoch - 1 - begin) // config.frequency_steps
    frequency = config.frequency_steps if prunings else 1
    end = begin + max(prunings, 1) * frequency
    return PolynomialDecay(
        config.initial_sparsity, config.final_sparsity, begin, end, frequency=frequency
    )


def _verified(context: StepContext, variable: Any, config: PruneConfig) -> float:
    """Share of zeros of a kernel, which must be what was asked for, to within one weight."""
    values = variable.numpy()
    reached = layers.zero_share(values)
    wanted = config.final_sparsity - config.sparsity_tolerance - 1 / values.size
    if reached < wanted:
        raise TerminalError(
            f"{context.variant}: the kernel {variable.name} has sparsity {reached:.3f}, "
            f"not {config.final_sparsity:g}",
            hint="give prune more epochs, a smaller frequency_steps or an earlier begin_epoch",
            subject=variable.name,
        )
    return round(reached, 4)
