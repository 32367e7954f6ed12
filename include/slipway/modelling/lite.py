"""Conversion to TFLite, with the converter's errors turned into one plain sentence."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_WAYS_OUT = {
    "float32": "replace the operation by one that TFLite has, move it out of the model, or leave "
    "this variant out",
    "int8": "use precision dynamic_range or float16, which keep float where it is needed, or "
    "replace the operation",
}
_LONGEST_MESSAGE = 400


@dataclass(frozen=True)
class Conversion:
    """What the converter gave.

    Attributes:
        content: The flatbuffer.
        warnings: What it warned of, without repetitions.
    """

    content: bytes
    warnings: list[str]


def convert(
    variant: str,
    folder: Path,
    signature: str,
    *,
    precision: str,
    integer_io: bool = False,
    dataset: Callable[[], Any] | None = None,
) -> Conversion:
    """Convert one signature of a SavedModel.

    Args:
        variant: For messages.
        folder: The SavedModel.
        signature: Its signature to convert.
        precision: float32, dynamic_range, float16, int8 or int16x8.
        integer_io: Whether inputs and outputs are integers too; int8 and int16x8 only.
        dataset: Representative dataset, for int8 and int16x8.

    Raises:
        TerminalError: naming the operation that cannot be converted.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[signature])
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if dataset is not None:
        ops, io = {
            "int8": (tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.int8),
            "int16x8": (
                tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
                tf.int16,
            ),
        }[precision]
        converter.representative_dataset = dataset
        converter.target_spec.supported_ops = [ops]
        if integer_io:
            converter.inference_input_type = converter.inference_output_type = io
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            content: bytes = converter.convert()
        except Exception as error:
            raise _unconvertible(variant, precision, error) from error
    # The converter calibrates with an interpreter that warns of its own coming removal.
    said = [
        str(item.message).strip() for item in caught if "tf.lite.Interp" not in str(item.message)
    ]
    return Conversion(content, list(dict.fromkeys(text.splitlines()[0] for text in said if text)))


def describe(variant: str, file: Path, signature: str) -> dict[str, Any]:
    """What is in a TFLite file, once it has answered one request of zeros and empty texts.

    A converted model is not yet one that runs: kernels refuse some scales only when loaded.

    Returns:
        operation_count; operations, how often each; inputs and outputs by signature name, each
        with dtype, shape (-1: any size) and, if quantized, scale and zero_point:
        real = scale * (stored - zero_point).

    Raises:
        TerminalError: if LiteRT cannot run it.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=1)
    # LiteRT has no public way to list operations; without it there is no count to report.
    names = [op["op_name"] for op in interpreter._get_ops_details()]  # noqa: SLF001
    runner = interpreter.get_signature_runner(signature)
    inputs = runner.get_input_details()
    zeros = {
        name: np.zeros(np.maximum(tensor["shape_signature"], 1), tensor["dtype"])
        for name, tensor in inputs.items()
    }
    try:
        runner(**zeros)
    except (RuntimeError, ValueError) as error:
        raise TerminalError(
            f"{variant}: the model was converted, but LiteRT cannot run it: {error}",
            hint="inputs of very different sizes make this with int8: scale them before the model, "
            "or use precision float32, dynamic_range or float16",
            subject=variant,
        ) from error
    return {
        "operation_count": len(names),
        "operations": {name: names.count(name) for name in sorted(set(names))},
        "inputs": _tensors(inputs),
        "outputs": _tensors(runner.get_output_details()),
    }


def _tensors(details: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    found = {}
    for name, tensor in sorted(details.items()):
        found[name] = {
            "dtype": np.dtype(tensor["dtype"]).name,
            "shape": [int(size) for size in tensor["shape_signature"]],
        }
        scale, zero_point = tensor["quantization"]
        if scale:
            found[name] |= {"scale": float(scale), "zero_point": int(zero_point)}
    return found


def _unconvertible(variant: str, precision: str, error: Exception) -> TerminalError:
    text = str(error)
    operations = _operations(error, text)
    layers = _layers(error, text)
    hint = _WAYS_OUT["int8" if precision in {"int8", "int16x8"} else "float32"]
    details = {"operations": operations, "layers": layers, "precision": precision}
    if not operations:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        shown = (lines or [type(error).__name__])[0][:_LONGEST_MESSAGE]
        message = f"{variant}: the TFLite converter failed for {precision}: {shown}"
        return TerminalError(message, hint=hint, subject=variant, details=details)
    place = f", in the layer {layers[0]}" if layers else ""
    named = ", ".join(operations)
    return TerminalError(
        f"{variant}: TFLite cannot run {named} with precision {precision}{place}",
        hint=hint,
        subject=operations[0],
        details=details,
    )


def _operations(error: Exception, text: str) -> list[str]:
    """Operations that the converter names, in its error data or in its text."""
    found = [item.operator.name for item in getattr(error, "errors", ()) if item.operator.name]
    for group in re.findall(r"(?:Flex|Custom) ops: ([\w, ]+)", text):
        found += [f"tf.{name.strip().removeprefix('Flex')}" for name in group.split(",")]
    found += re.findall(r"'(tfl?\.[\w.]+)' op", text)
    found += re.findall(r"Quantization not yet supported for op: '?([\w.]+)", text)
    return list(dict.fromkeys(name for name in found if name and name != "tf."))


def _layers(error: Exception, text: str) -> list[str]:
    """Layers, as far as the operation's location tells them: <model>/<layer>/<operation>."""
    places = [
        call.name
        for item in getattr(error, "errors", ())
        for call in item.location.call
        if call.name
    ]
    places += re.findall(r'loc\((?:fused\[)?(?:callsite\()?"([^"]+)"', text)
    found = [place.split("/") for place in places if "/" in place]
    names = [parts[-2].split(":")[0] for parts in found]
    return list(dict.fromkeys(name for name in names if name))
