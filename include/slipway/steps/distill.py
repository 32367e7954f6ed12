"""Distill: train a student on the teacher's answers."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from slipway.spec.base import Ratio, StepConfig


class DistillConfig(StepConfig):
    """Distillation of the variant it starts from into the definition's student."""

    temperature: PositiveFloat = Field(4.0, description="Softens teacher and student alike.")
    alpha: Ratio = Field(
        0.3, description="Weight of the loss on the labels; 1 - alpha goes to the teacher."
    )
    epochs: PositiveInt = Field(30, description="Passes over the training split.")
    batch_size: PositiveInt = Field(32, description="Examples a step.")
    learning_rate: PositiveFloat | None = Field(None, description="Default: as in training.")
