"""ONNX graphs as data: their nodes by layer, their inputs and outputs, what they were made for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from slipway.modelling.naming import layer_in, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MODEL_FILE = "model.onnx"
BATCH = "batch"

_SIGNATURE = "slipway.signature"
# Functions and resources, not layers.
_CALLS = ("StatefulPartitionedCall", "PartitionedCall", "None_")
# The exporter counts the nodes that it adds: conv1/BiasAdd__6.
_COUNT = re.compile(r"__\d+$")


def layer_of(node: str) -> str:
    """The layer of a node, as far as its name tells; see `slipway.modelling.naming.layer_in`."""
    parts = [part for part in _COUNT.sub("", node).split("/") if not part.startswith(_CALLS)]
    return layer_in(parts) if parts else node


def named_nodes(variant: str, model: Any, names: Sequence[str]) -> list[str]:
    """The nodes that names in a spec mean: by layer, by kind such as MatMul, or by their own name.

    Raises:
        TerminalError: if a name means none, with the nearest one.
    """
    nodes = list(model.graph.node)
    for name in names:
        if not any(_is_named(node, name) for node in nodes):
            raise unknown_name(
                name,
                f"{variant}: the ONNX",
                [layer_of(node.name) for node in nodes],
                [node.op_type for node in nodes],
                subject="onnx.keep_float",
            )
    return [node.name for node in nodes if any(_is_named(node, name) for name in names)]


def name_batch(model: Any) -> None:
    """Call the open first dimension of inputs and outputs "batch".

    Other open dimensions get stable names too, where the exporter numbers them.
    """
    for value in (*model.graph.input, *model.graph.output):
        for axis, dimension in enumerate(value.type.tensor_type.shape.dim):
            if not dimension.dim_value:
                dimension.dim_param = f"{value.name}_{axis}" if axis else BATCH


def with_batch(model: Any, batch: int | None) -> Any:
    """The model for batches of one size; the model itself if that is None."""
    import onnx

    if batch is None:
        return model
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        for dimension in value.type.tensor_type.shape.dim[:1]:
            if dimension.dim_param == BATCH:
                dimension.dim_value = batch
    return fixed


def set_signature(model: Any, signature: str) -> None:
    """Write down the signature that a model was made of; ONNX has none of its own."""
    import onnx

    onnx.helper.set_model_props(model, {_SIGNATURE: signature})


def signature_of(properties: dict[str, str]) -> str | None:
    """The signature in a model's properties."""
    return properties.get(_SIGNATURE)


def described(model: Any) -> dict[str, Any]:
    """Small facts about a model.

    Returns:
        opset; operation_count; operations, how often each; inputs and outputs by name, each with
        dtype and shape (-1: any size).
    """
    kinds = [node.op_type for node in model.graph.node]
    return {
        "opset": next(each.version for each in model.opset_import if not each.domain),
        "operation_count": len(kinds),
        "operations": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "inputs": _tensors(model.graph.input),
        "outputs": _tensors(model.graph.output),
    }


def _is_named(node: Any, name: str) -> bool:
    return name in {node.name, node.op_type, layer_of(node.name)}


def _tensors(values: Iterable[Any]) -> dict[str, Any]:
    return {
        value.name: {
            "dtype": _dtype(value.type.tensor_type.elem_type),
            "shape": [size.dim_value or -1 for size in value.type.tensor_type.shape.dim],
        }
        for value in sorted(values, key=lambda each: str(each.name))
    }


def _dtype(number: int) -> str:
    import onnx

    if number == onnx.TensorProto.STRING:
        return "string"
    return str(onnx.helper.tensor_dtype_to_np_dtype(number))
