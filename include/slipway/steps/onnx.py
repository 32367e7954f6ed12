"""Convert a SavedModel to ONNX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from slipway.errors import TerminalError
from slipway.modelling import keras, onnx_errors, onnx_export, onnx_graph, onnx_parity, saved_model
from slipway.modelling.calibration import load_calibration
from slipway.modelling.data import load_split
from slipway.modelling.onnx_export import NEWEST_OPSET, OLDEST_OPSET
from slipway.modelling.onnx_precision import CalibrationMethod, to_float16, to_int8
from slipway.spec.base import StepConfig
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from slipway.definition import Examples
    from slipway.modelling.onnx_parity import Parity
    from slipway.modelling.saved_model import Signature
    from slipway.steps.base import StepContext

Precision = Literal["float32", "float16", "int8"]

# Of the examples, those that the float32 graph and what was made of it are compared on by layer.
_COMPARED = 16


class OnnxConfig(StepConfig):
    """Conversion to ONNX."""

    precision: Precision = Field(
        "float32",
        description="float32: as trained; float16: the graph cast to half size; int8: explicit "
        "Q/DQ nodes, calibrated with the definition's data. Inputs and outputs stay as they are.",
    )
    opset: int = Field(
        17, ge=OLDEST_OPSET, le=NEWEST_OPSET, description="Version of ONNX's operator set."
    )
    batch: PositiveInt | None = Field(
        None, description="Examples of every request; null: any number (dynamic batch)."
    )
    simplify: bool = Field(
        True, description="Whether constants are folded and what repeats is merged."
    )
    calibration_examples: PositiveInt = Field(
        200, description="int8: examples of the training split that calibrate it."
    )
    calibration_method: CalibrationMethod = Field(
        "minmax",
        description="int8: a range goes to the largest value (minmax), to where least is lost "
        "(entropy), or to 99.999 percent of the values (percentile).",
    )
    per_channel: bool = Field(
        True, description="int8: each channel of a weight has a scale of its own."
    )
    keep_float: tuple[str, ...] = Field(
        (),
        description="float16 and int8: layers, kinds of operations such as MatMul, or nodes that "
        "stay float32 (mixed precision).",
    )
    tolerance: PositiveFloat = Field(
        1e-4,
        description="float32: what an answer may differ by from the SavedModel's, plus the same "
        "share of it. A graph beyond it is no variant but a mistake.",
    )
    signature: str | None = Field(
        None,
        description="Signature to convert; default: serving_default, or the only one there is.",
    )

    @model_validator(mode="after")
    def _options_agree(self) -> OnnxConfig:
        if self.keep_float and self.precision == "float32":
            msg = "keep_float needs precision float16 or int8, not float32"
            raise ValueError(msg)
        return self


def run(context: StepContext) -> StepOutput:
    """Convert the source's SavedModel to onnx/model.onnx.

    Inputs and outputs keep the signature's names and types, whatever the precision inside. The
    details name the layers that lose most.

    Raises:
        TerminalError: if the data does not fit the signature or cannot calibrate, an operation
            cannot be converted (naming it, its layer and the ways out), onnxruntime cannot run
            what was made, or float32 answers otherwise than the SavedModel.
    """
    config = context.config(OnnxConfig)
    source = context.input("source")
    _require_convertible(context, config)
    signature = saved_model.choose_signature(context.variant, source.servable, config.signature)
    examples = load_split(context.definition(), "validation", signature.inputs)
    context.say(f"exporting {signature.name} to ONNX opset {config.opset}")
    exported = onnx_export.export(
        context.variant,
        source.servable,
        signature,
        opset=config.opset,
        simplify=config.simplify,
    )
    made, remarks = _in_precision(context, config, exported, signature)
    file = context.folder / "onnx" / onnx_graph.MODEL_FILE
    file.parent.mkdir()
    served = onnx_graph.with_batch(made, config.batch)
    served = onnx_export.checked(context.variant, served)
    file.write_bytes(served.SerializeToString(deterministic=True))
    parity = onnx_parity.compare(
        context.variant,
        file,
        source.servable,
        signature,
        examples.inputs,
        tolerance=config.tolerance,
    )
    _judge(context, config, made, parity, examples)
    details: dict[str, Any] = {
        "signature": signature.name,
        "precision": config.precision,
        "parity_tolerance": config.tolerance,
        "parity_batches": ", ".join(str(size) for size in parity.batches),
        **onnx_graph.described(served),
    }
    if config.precision == "int8":
        details["calibration_remarks"] = "; ".join(remarks)
    if config.precision != "float32":
        details["layer_errors"] = _layer_errors(
            context, config.precision, (exported, made), examples
        )
    metrics = {
        "operations": float(details["operation_count"]),
        "parity_largest_difference": parity.largest_difference,
        "parity_examples": float(parity.examples),
    }
    return StepOutput("onnx", metrics, details)


def _require_convertible(context: StepContext, config: OnnxConfig) -> None:
    """Refuse to quantize again what was trained with quantization: float32 keeps its Q/DQ nodes."""
    if config.precision == "float32" or not keras.is_quantized(context.input("source").path):
        return
    raise TerminalError(
        f"{context.variant}: {config.precision} cannot be made from a model that was trained with "
        "8-bit quantization",
        hint="use precision float32, which turns the trained quantization into Q/DQ nodes, or "
        "convert the variant before quantize",
        subject="onnx.precision",
    )


def _in_precision(
    context: StepContext, config: OnnxConfig, exported: Any, signature: Signature
) -> tuple[Any, tuple[str, ...]]:
    """The graph in the precision wanted, and what is to be said of its calibration."""
    if config.precision == "float32":
        return exported, ()
    context.say(f"making {config.precision} of it")
    if config.precision == "float16":
        cast = to_float16(context.variant, exported, config.keep_float)
        return cast, ()
    calibration = load_calibration(
        context.variant, context.definition(), signature, config.calibration_examples
    )
    for remark in calibration.remarks:
        context.say(f"warning: {remark}")
    quantized = to_int8(
        context.variant,
        exported,
        calibration,
        signature=signature.name,
        method=config.calibration_method,
        per_channel=config.per_channel,
        keep_float=config.keep_float,
    )
    return quantized, calibration.remarks


def _judge(
    context: StepContext, config: OnnxConfig, made: Any, parity: Parity, examples: Examples
) -> None:
    """Refuse a graph in float32 that answers otherwise, and any that answers no numbers.

    Where training made the model round, a number on the edge may fall to either side: the gates
    decide on that one.
    """
    context.say(
        f"answers differ from the SavedModel's by {parity.largest_difference:.3g} at most, over "
        f"{parity.examples} examples in batches of {', '.join(map(str, parity.batches))}"
    )
    if not math.isfinite(parity.largest_difference):
        some = examples.take(parity.examples).inputs
        layer = onnx_errors.first_not_finite(made, some) or "its outputs"
        raise TerminalError(
            f"{context.variant}: {config.precision} gives NaN or infinite numbers, first in "
            f"{layer}",
            hint=f"the numbers there are too large for it: keep_float: [{layer}], or scale them",
            subject=layer,
        )
    exact = config.precision == "float32" and not keras.is_quantized(context.input("source").path)
    if exact and parity.largest_excess > 1:
        raise TerminalError(
            f"{context.variant}: the ONNX graph answers otherwise than the SavedModel: a "
            f"difference of {parity.largest_difference:.3g}, beyond the tolerance of "
            f"{config.tolerance:g}",
            hint="try another opset or onnx.simplify: false; if the model sums many large "
            "numbers, set a larger onnx.tolerance",
            subject="onnx.tolerance",
        )


def _layer_errors(
    context: StepContext, precision: str, models: tuple[Any, Any], examples: Examples
) -> list[dict[str, Any]]:
    asked = (
        {name: values[place : place + 1] for name, values in examples.inputs.items()}
        for place in range(min(_COMPARED, len(examples)))
    )
    errors = onnx_errors.find_layer_errors(*models, asked)
    if errors:
        told = ", ".join(f"{each['layer']} ({each['error']:.0%})" for each in errors)
        context.say(f"{precision} loses most in {told}")
    return errors
