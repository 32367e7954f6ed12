"""Convert a SavedModel to ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from slipway.errors import TerminalError
from slipway.modelling import onnx_export, onnx_graph, onnx_parity, saved_model
from slipway.modelling.data import load_split
from slipway.modelling.onnx_export import NEWEST_OPSET, OLDEST_OPSET
from slipway.spec.base import StepConfig
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.modelling.onnx_parity import Parity
    from slipway.modelling.saved_model import Signature
    from slipway.steps.base import StepContext

Precision = Literal["float32"]


class OnnxConfig(StepConfig):
    """Conversion to ONNX."""

    precision: Precision = Field("float32", description="float32: as trained.")
    opset: int = Field(
        17, ge=OLDEST_OPSET, le=NEWEST_OPSET, description="Version of ONNX's operator set."
    )
    batch: PositiveInt | None = Field(
        None, description="Examples of every request; null: any number (dynamic batch)."
    )
    simplify: bool = Field(
        True, description="Whether constants are folded and what repeats is merged."
    )
    tolerance: PositiveFloat = Field(
        1e-4,
        description="float32: what an answer may differ by from the SavedModel's, plus the same "
        "share of it. A model beyond it is no variant but a mistake.",
    )
    signature: str | None = Field(
        None,
        description="Signature to convert; default: serving_default, or the only one there is.",
    )


def run(context: StepContext) -> StepOutput:
    """Convert the source's SavedModel to onnx/model.onnx.

    Inputs and outputs keep the signature's names and types, whatever the precision inside.

    Raises:
        TerminalError: if the data does not fit the signature, an operation cannot be converted
            (naming it, its layer and the ways out), onnxruntime cannot run what was made, or
            float32 answers otherwise than the SavedModel.
    """
    config = context.config(OnnxConfig)
    folder = context.input("source").servable
    signature = saved_model.choose_signature(context.variant, folder, config.signature)
    context.say(f"exporting {signature.name} to ONNX opset {config.opset}")
    model = onnx_export.export(
        context.variant,
        folder,
        signature,
        opset=config.opset,
        batch=config.batch,
        simplify=config.simplify,
    )
    file = context.folder / "onnx" / onnx_graph.MODEL_FILE
    file.parent.mkdir()
    file.write_bytes(model.SerializeToString(deterministic=True))
    parity = _parity(context, config, file, signature)
    details: dict[str, Any] = {
        "signature": signature.name,
        "precision": config.precision,
        "parity_tolerance": config.tolerance,
        "parity_batches": ", ".join(str(size) for size in parity.batches),
        **onnx_graph.described(model),
    }
    metrics = {
        "operations": float(details["operation_count"]),
        "parity_largest_difference": parity.largest_difference,
        "parity_examples": float(parity.examples),
    }
    return StepOutput("onnx", metrics, details)


def _parity(context: StepContext, config: OnnxConfig, file: Path, signature: Signature) -> Parity:
    examples = load_split(context.definition(), "validation", signature.inputs)
    found = onnx_parity.compare(
        context.variant,
        file,
        context.input("source").servable,
        signature,
        examples.inputs,
        tolerance=config.tolerance,
    )
    context.say(
        f"answers differ from the SavedModel's by {found.largest_difference:.3g} at most, over "
        f"{found.examples} examples in batches of {', '.join(map(str, found.batches))}"
    )
    if config.precision == "float32" and found.largest_excess > 1:
        raise TerminalError(
            f"{context.variant}: the ONNX model answers otherwise than the SavedModel: a "
            f"difference of {found.largest_difference:.3g}, beyond the tolerance of "
            f"{config.tolerance:g}",
            hint="try another opset or onnx.simplify: false; if the model sums many large "
            "numbers, set a larger onnx.tolerance",
            subject="onnx.tolerance",
        )
    return found
