"""Train the original and export it as a SavedModel."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt

from slipway.spec.base import StepConfig


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
