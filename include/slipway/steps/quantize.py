"""Quantize: train on with quantization simulated (quantization-aware training)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat, PositiveInt

from slipway.errors import TerminalError
from slipway.modelling import artifacts, keras, layers, quantization, training
from slipway.spec.base import Ratio, StepConfig

if TYPE_CHECKING:
    from slipway.steps.base import StepContext, StepOutput


class QuantizeConfig(StepConfig):
    """Quantization-aware training, 8 bits, by tensorflow-model-optimization."""

    epochs: PositiveInt = Field(2, description="Passes over the training split.")
    batch_size: PositiveInt = Field(32, description="Examples a step.")
    learning_rate: PositiveFloat | None = Field(None, description="Default: as in training.")
    layers: tuple[str, ...] | None = Field(
        None, description="Names of the layers to quantize; default: the whole model."
    )
    preserve_sparsity: bool = Field(
        False, description="Keep the zeros of a pruned model while training."
    )
    sparsity_tolerance: Ratio = Field(
        0.01, description="preserve_sparsity: share of a kernel's zeros that may be lost."
    )


def run(context: StepContext) -> StepOutput:
    """Simulate 8-bit quantization in the model and train on, so that it learns to bear it.

    Layers that learn nothing and that tfmot cannot quantize, such as preprocessing, stay as they
    are and are listed in the details.

    Raises:
        TerminalError: if the source is quantized already, a layer that learns cannot be
            quantized, a named layer does not exist, or zeros that were to be kept are lost.
    """
    config = context.config(QuantizeConfig)
    keras.make_repeatable(context.request.seed)
    definition = context.definition()
    model, architecture = keras.load_model(context, definition)
    layers.require_graph(context, model)
    work = artifacts.open_work(context, definition, model)
    chosen = quantization.choose_layers(context, model, config.layers)
    zeros = quantization.zeros_by_kernel(model, chosen)
    if config.preserve_sparsity:
        _require_zeros(context, zeros)
    quantized = quantization.with_simulation(
        context, model, chosen, preserve_sparsity=config.preserve_sparsity
    )
    quantization.require_same_answers(context, model, quantized, work.validation)
    training.compile_like(quantized, model, config.learning_rate)
    metrics = training.fit(
        context,
        quantized,
        work.train,
        work.validation,
        epochs=config.epochs,
        batch_size=config.batch_size,
    )
    details: dict[str, Any] = {
        "quantized_layers": chosen,
        "skipped_layers": [name for name in layers.leaf_layers(model) if name not in chosen],
    }
    if config.preserve_sparsity:
        kept = quantization.zeros_by_kernel(quantized, chosen)
        _require_kept(context, zeros, kept, config.sparsity_tolerance)
        details["sparsity_by_kernel"] = kept
    return artifacts.finish(
        context, work, quantized, keras.as_quantized(architecture), metrics, details
    )


def _require_zeros(context: StepContext, zeros: dict[str, float]) -> None:
    if any(share > 0 for share in zeros.values()):
        return
    raise TerminalError(
        f"{context.variant}: preserve_sparsity is set, but the model has no zeros to keep",
        hint="start from a pruned variant, or leave preserve_sparsity out",
        subject="quantize.preserve_sparsity",
    )


def _require_kept(
    context: StepContext, before: dict[str, float], after: dict[str, float], tolerance: float
) -> None:
    for name, share in before.items():
        if after[name] < share - tolerance:
            raise TerminalError(
                f"{context.variant}: quantize left sparsity {after[name]:.3f} in the kernel of "
                f"{name}, which had {share:.3f}",
                hint="convert the pruned variant with tflite precision int8, which keeps zeros",
                subject=name,
            )
