"""What is in a TFLite file, and whether it runs and can be asked as its SavedModel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.modelling.lite_graph import operation_kinds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from slipway.modelling.saved_model import Signature

FLEX = "Flex"


def describe(
    variant: str, file: Path, signatures: Mapping[str, Signature], *, integer_io: bool = False
) -> dict[str, Any]:
    """What is in a TFLite file, once each signature has answered a request of zeros or empty texts.

    A converted model is not yet one that runs: kernels refuse some scales only when loaded. One
    with operations of TensorFlow's own runs only where they are linked, which is not here.

    Args:
        variant: For messages.
        file: The TFLite file.
        signatures: Those of the SavedModel that it was made from; the first one is served.
        integer_io: Whether the types of inputs and outputs may differ.

    Returns:
        operation_count; operations, how often each; selected_operations, those of TensorFlow's own;
        inputs and outputs of the first signature by name, each with dtype, shape (-1: any size)
        and, if quantized, scale and zero_point: real = scale * (stored - zero_point).

    Raises:
        TerminalError: if LiteRT cannot run it, or a signature is not that of the SavedModel.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(file), num_threads=1)
    names = operation_kinds(file.read_bytes())
    selected = sorted({name.removeprefix(FLEX) for name in names if name.startswith(FLEX)})
    found = interpreter.get_signature_list()
    tensors: dict[str, Any] = {}
    for name, signature in signatures.items():
        _require_names(variant, signature, found.get(name, {"inputs": [], "outputs": []}))
        if selected:
            continue
        runner = interpreter.get_signature_runner(name)
        inputs, outputs = runner.get_input_details(), runner.get_output_details()
        if not integer_io:
            _require_alike(variant, name, signature.inputs, inputs)
            _require_alike(variant, name, signature.outputs, outputs)
        _ask(variant, runner, inputs)
        tensors = tensors or {"inputs": _tensors(inputs), "outputs": _tensors(outputs)}
    return {
        "operation_count": len(names),
        "operations": {name: names.count(name) for name in sorted(set(names))},
        "selected_operations": selected,
        "signatures": sorted(signatures),
        **tensors,
    }


def _ask(variant: str, runner: Any, inputs: Mapping[str, Any]) -> None:
    import numpy as np

    zeros = {
        name: np.zeros(np.maximum(tensor["shape_signature"], 1), tensor["dtype"])
        for name, tensor in inputs.items()
    }
    try:
        runner(**zeros)
    except (RuntimeError, ValueError) as error:
        raise unrunnable(variant, "LiteRT", error) from error


def unrunnable(variant: str, runtime: str, error: Exception) -> TerminalError:
    """What to tell of a file that a runtime refuses."""
    return TerminalError(
        f"{variant}: the model was converted, but {runtime} cannot run it: {error}",
        hint="inputs of very different sizes make this with int8: scale them before the model, "
        "or use precision float32, dynamic_range or float16",
        subject=variant,
    )


def _require_names(variant: str, signature: Signature, found: Mapping[str, list[str]]) -> None:
    for kind, wanted in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        if sorted(wanted) != sorted(found[kind]):
            raise TerminalError(
                f"{variant}: the TFLite signature {signature.name!r} has the {kind} "
                f"{', '.join(found[kind]) or 'none'}, the SavedModel's has {', '.join(wanted)}",
                hint="clients could not tell them apart: return each tensor of the signature under "
                "one name only, and use each of its inputs",
                subject=signature.name,
            )


def _require_alike(
    variant: str, signature: str, wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> None:
    for name, spec in wanted.items():
        text = spec.dtype.name == "string"
        sizes = [int(size) for size in found[name]["shape_signature"]]
        same_type = text or spec.dtype.as_numpy_dtype is found[name]["dtype"]
        if same_type and _admits(sizes, spec.shape):
            continue
        dtype = "string" if text else found[name]["dtype"].__name__
        raise TerminalError(
            f"{variant}: {name!r} of the TFLite signature {signature!r} is {dtype} {sizes}, the "
            f"SavedModel's is {spec.dtype.name} {[size or -1 for size in spec.shape]}",
            hint="clients of the SavedModel could not ask it; use another precision, or write the "
            "model so that its sizes can be told from its inputs",
            subject=name,
        )


def _admits(sizes: list[int], shape: Any) -> bool:
    """Whether a TFLite tensor takes every shape that the SavedModel's does."""
    if shape.rank is None or not sizes:
        return True
    return len(sizes) == shape.rank and all(
        size in {-1, wanted} for size, wanted in zip(sizes, shape.as_list(), strict=True)
    )


def _tensors(details: Mapping[str, Any]) -> dict[str, Any]:
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
