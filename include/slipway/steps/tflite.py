"""Convert a SavedModel to TFLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from slipway.errors import TerminalError
from slipway.modelling import keras, lite, saved_model
from slipway.modelling.data import load_split
from slipway.spec.base import StepConfig
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slipway.definition import Examples
    from slipway.modelling.saved_model import Signature
    from slipway.steps.base import StepContext

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

    signature: str | None = Field(
        None,
        description="Signature to convert; default: serving_default, or the only one there is.",
    )

    @model_validator(mode="after")
    def _integers_are_quantized(self) -> TFLiteConfig:
        if self.integer_io and self.precision not in {"int8", "int16x8"}:
            msg = f"integer_io needs precision int8 or int16x8, not {self.precision}"
            raise ValueError(msg)
        return self


def run(context: StepContext) -> StepOutput:
    """Convert the source's SavedModel to tflite/model.tflite.

    The file keeps the signature, its names and its dynamic batch. int8 and int16x8 use integers
    throughout: an operation that has no integer form is an error, never a silent float.

    Raises:
        TerminalError: if the data does not fit the signature, or an operation cannot be
            converted, naming it and, where the converter knows it, the layer.
    """
    config = context.config(TFLiteConfig)
    source = context.input("source")
    if config.precision == "int16x8" and keras.is_quantized(source.path):
        raise TerminalError(
            f"{context.variant}: int16x8 cannot be made from a model that was trained with 8-bit "
            "quantization",
            hint="use precision int8, or convert the variant before quantize",
            subject="tflite.precision",
        )
    folder = source.servable
    signature = saved_model.choose_signature(context.variant, folder, config.signature)
    dataset = _representative(context, config, signature) if _calibrated(config) else None
    context.say(f"converting to {config.precision}")
    conversion = lite.convert(
        context.variant,
        folder,
        signature.name,
        precision=config.precision,
        integer_io=config.integer_io,
        dataset=dataset,
    )
    file = context.folder / "tflite" / "model.tflite"
    file.parent.mkdir()
    file.write_bytes(conversion.content)
    details: dict[str, Any] = {
        "signature": signature.name,
        "precision": config.precision,
        "warnings": conversion.warnings,
        **lite.describe(context.variant, file, signature.name),
    }
    metrics = {"operations": float(details["operation_count"])}
    return StepOutput("tflite", metrics, details)


def _calibrated(config: TFLiteConfig) -> bool:
    return config.precision in {"int8", "int16x8"}


def _representative(
    context: StepContext, config: TFLiteConfig, signature: Signature
) -> Callable[[], Iterator[tuple[str, dict[str, Any]]]]:
    """The representative dataset: single examples of the training split, spread over all of it."""
    import numpy as np

    text = [name for name, spec in signature.inputs.items() if spec.dtype.name == "string"]
    if text:
        raise TerminalError(
            f"{context.variant}: the input {text[0]!r} is text, and {config.precision} needs "
            "every tensor as integers",
            hint="use precision float32, dynamic_range or float16 for this model",
            subject=text[0],
        )
    examples: Examples = load_split(context.definition(), "train", signature.inputs)
    count = min(config.calibration_examples, len(examples))
    places = np.linspace(0, len(examples) - 1, count).astype(int)
    context.say(f"calibrating with {count} examples")

    def dataset() -> Iterator[tuple[str, dict[str, Any]]]:
        for place in places:
            inputs = {name: values[place : place + 1] for name, values in examples.inputs.items()}
            yield signature.name, inputs

    return dataset
