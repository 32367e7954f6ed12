"""Prune: set the smallest weights to zero while training goes on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from slipway.spec.base import Ratio, StepConfig


class PruneConfig(StepConfig):
    """Magnitude pruning by tensorflow-model-optimization, stripped on export."""

    schedule: Literal["constant", "polynomial"] = Field(
        "polynomial", description="Whether sparsity is final from the start or grows to it."
    )
    initial_sparsity: Ratio = Field(0.0, description="Sparsity at the start, polynomial only.")
    final_sparsity: Ratio = Field(0.8, description="Share of weights that are zero at the end.")
    epochs: PositiveInt = Field(4, description="Passes over the training split.")
    begin_epoch: NonNegativeInt = Field(0, description="Epoch at which pruning starts.")
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
        return self
