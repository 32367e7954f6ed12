"""Quantize: train on with quantization simulated (quantization-aware training)."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from slipway.spec.base import StepConfig


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
