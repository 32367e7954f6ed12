"""ONNX graphs in float16 and int8, made of those in float32."""

from __future__ import annotations

import logging
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slipway.errors import TerminalError
from slipway.modelling.onnx_graph import layer_of, named_nodes, set_signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slipway.modelling.calibration import Calibration

CalibrationMethod = Literal["minmax", "entropy", "percentile"]

# The operations that read weights, by far the most of the work. What lies between them stays in
# float32 in the file: TensorRT joins it with them into kernels of integers by itself.
# https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/work-quantized-types.html
QUANTIZED = ("Conv", "ConvTranspose", "Gemm", "MatMul")

_METHODS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
_LARGEST_FLOAT16 = 65504.0


def to_float16(variant: str, model: Any, keep_float: Sequence[str]) -> Any:
    """The model with weights and arithmetic in float16; inputs and outputs stay as they are.

    Args:
        variant: For messages.
        model: onnx.ModelProto in float32; it is not changed.
        keep_float: Layers, kinds of operations or nodes that stay float32.

    Raises:
        TerminalError: if a weight is too large for float16, naming the layer, or a name in
            `keep_float` means nothing.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    kept = named_nodes(variant, model, keep_float)
    _require_float16(variant, model, set(kept))
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    cast = convert_float_to_float16(copy, keep_io_types=True, node_block_list=kept)
    OnnxModel.graph_topological_sort(cast.graph, is_deterministic=True)
    return cast


def to_int8(
    variant: str,
    model: Any,
    calibration: Calibration,
    *,
    signature: str,
    method: CalibrationMethod,
    per_channel: bool,
    keep_float: Sequence[str],
) -> Any:
    """The model with explicit quantization: Q/DQ nodes around the operations of `QUANTIZED`.

    Symmetric throughout: real = scale * integer, -127 to 127 for weights, as TensorRT wants it.
    Weights are stored as integers; biases stay float32.

    Args:
        variant: For messages.
        model: onnx.ModelProto in float32; it is not changed.
        calibration: What the ranges are learned from.
        signature: The signature that the model was made of.
        method: How a range is found: its largest value, least divergence, or 99.999 percent.
        per_channel: Whether each channel of a weight has a scale of its own.
        keep_float: As for `to_float16`.

    Raises:
        TerminalError: if there is nothing to quantize, the quantizer fails, or a name in
            `keep_float` means nothing.
    """
    import onnx
    from onnxruntime import quantization

    kept = named_nodes(variant, model, keep_float)
    if not [each for each in weighted_nodes(model) if each.name not in kept]:
        raise TerminalError(
            f"{variant}: there is nothing to quantize: the graph has none of "
            f"{', '.join(QUANTIZED)} with weights that keep_float leaves",
            hint="use precision float32 or float16, or keep less in float",
            subject="onnx.precision",
        )
    with tempfile.TemporaryDirectory(prefix="slipway-onnx-") as folder, _quiet():
        # From a file: given a model, the quantizer moves its weights out of it.
        given, file = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, given)
        try:
            quantization.quantize_static(
                given,
                file,
                _reader(calibration),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTIZED),
                per_channel=per_channel,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=kept,
                calibrate_method=getattr(quantization.CalibrationMethod, _METHODS[method]),
                extra_options={
                    "ActivationSymmetric": True,
                    "CalibTensorRangeSymmetric": True,
                    "OpTypesToExcludeOutputQuantization": list(QUANTIZED),
                    "QuantizeBias": False,
                    "WeightSymmetric": True,
                },
            )
        except Exception as error:
            raise _unquantizable(variant, error) from error
        quantized = onnx.load(file)
    quantized.producer_name, quantized.producer_version = "", ""
    del quantized.metadata_props[:]
    set_signature(quantized, signature)
    return quantized


def weighted_nodes(model: Any) -> list[Any]:
    """The nodes that int8 quantizes: those of `QUANTIZED` with a weight in the file."""
    weights = {each.name for each in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.op_type in QUANTIZED and weights.intersection(node.input)
    ]


def _require_float16(variant: str, model: Any, kept: set[str]) -> None:
    import numpy as np
    from onnx import TensorProto, numpy_helper

    readers = {
        name: node for node in model.graph.node if node.name not in kept for name in node.input
    }
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT or weight.name not in readers:
            continue
        values = np.abs(numpy_helper.to_array(weight))
        largest = float(values.max()) if values.size else 0.0
        if largest > _LARGEST_FLOAT16 and np.isfinite(largest):
            layer = layer_of(readers[weight.name].name)
            raise TerminalError(
                f"{variant}: float16 holds numbers up to {_LARGEST_FLOAT16:g}, and the layer "
                f"{layer} has {largest:g}",
                hint=f"name it in onnx.keep_float, as keep_float: [{layer}]",
                subject=layer,
            )


def _reader(calibration: Calibration) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    from slipway.modelling.onnx_session import to_text

    examples = calibration.single(calibration.examples)

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
        def get_next(self) -> dict[str, Any] | None:
            found = next(examples, None)
            return found and {name: to_text(values) for name, values in found.items()}

    return Reader()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the root logger's advice to do beforehand what the export has done."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _unquantizable(variant: str, error: Exception) -> TerminalError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return TerminalError(
        f"{variant}: onnxruntime could not quantize the graph: {lines[0]}",
        hint="name the layer in onnx.keep_float, try another calibration_method, or use float16",
        subject="onnx.precision",
    )
