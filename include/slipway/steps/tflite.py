"""Convert a SavedModel to TFLite."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from slipway.spec.base import StepConfig

Precision = Literal["float32", "dynamic_range", "float16", "int8", "int16x8"]


class TFLiteConfig(StepConfig):
    """Conversion to TFLite."""

    precision: Precision = Field(
        "float32",
        description="float32: as trained; dynamic_range: int8 weights; float16: half-size weights; "
        "int8 and int16x8: calibrated with the representative dataset.",
    )
    integer_io: bool = Field(
        False, description="int8 and int16x8: inputs and outputs are integers too, not float."
    )
    calibration_examples: PositiveInt = Field(
        200, description="Examples of the training split that calibrate int8 and int16x8."
    )

    @model_validator(mode="after")
    def _integers_are_quantized(self) -> TFLiteConfig:
        if self.integer_io and self.precision not in {"int8", "int16x8"}:
            msg = f"integer_io needs precision int8 or int16x8, not {self.precision}"
            raise ValueError(msg)
        return self
