"""The operations of a TFLite file by layer, and which of them a name in a spec means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.modelling.naming import layer_in, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of functions, not of layers, and of tensors that the converter adds itself.
_CALLS = ("StatefulPartitionedCall", "PartitionedCall", "tfl.", "arith.")


@dataclass(frozen=True)
class Operation:
    """One operation of the graph.

    Attributes:
        kind: TFLite's name of it, such as CONV_2D.
        layer: The layer that it belongs to, as far as the names in the file tell; fused operations
            count to the first of their layers.
        layers: All layers that were fused into it.
        inputs: Indexes of the tensors that it reads.
        outputs: Indexes of the tensors that it writes.
    """

    kind: str
    layer: str
    layers: tuple[str, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def is_named(self, name: str) -> bool:
        """Whether a name in a spec means this operation: its kind or one of its layers."""
        return name in {self.kind, *self.layers}


@dataclass(frozen=True)
class Graph:
    """The subgraph of one signature.

    Attributes:
        index: Of the subgraph in the file.
        operations: In the order in which they run.
        names: Of the tensors, by index.
    """

    index: int
    operations: tuple[Operation, ...]
    names: tuple[str, ...]


def read_graph(content: bytes, signature: str) -> Graph:
    """The operations of a signature, as they are in the file."""
    model = _parsed(content)
    [index] = [
        each.subgraphIndex
        for each in model.signatureDefs
        if each.signatureKey == signature.encode()
    ]
    subgraph = model.subgraphs[index]
    names = tuple(tensor.name.decode() for tensor in subgraph.tensors)
    layers_of: dict[int, tuple[str, ...]] = {}
    operations = []
    for found in subgraph.operators:
        inputs, outputs = _indices(found.inputs), _indices(found.outputs)
        layers = tuple(dict.fromkeys(name for i in outputs for name in _layers(names[i])))
        # The converter gives what the signature returns a name of its own.
        layers = layers or next((layers_of[i] for i in inputs if layers_of.get(i)), ())
        layers_of |= dict.fromkeys(outputs, layers)
        kind = _kind(model, found)
        operations.append(Operation(kind, layers[0] if layers else kind, layers, inputs, outputs))
    return Graph(index, tuple(operations), names)


def operation_kinds(content: bytes) -> list[str]:
    """The kind of every operation of a file, over all of its signatures."""
    model = _parsed(content)
    return [_kind(model, each) for subgraph in model.subgraphs for each in subgraph.operators]


def _parsed(content: bytes) -> Any:
    from tensorflow.lite.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def _kind(model: Any, operator: Any) -> str:
    from tensorflow.lite.tools import flatbuffer_utils

    custom = model.operatorCodes[operator.opcodeIndex].customCode
    if custom:
        return str(custom.decode())
    return str(flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex))


def _indices(found: Any) -> tuple[int, ...]:
    # -1 stands for an input that was left out.
    return tuple(int(index) for index in found if index >= 0) if found is not None else ()


def named_operations(variant: str, graph: Graph, names: Sequence[str]) -> list[Operation]:
    """The operations that names in a spec mean, in the order in which they run.

    Raises:
        TerminalError: if a name means none, with the nearest one.
    """
    for name in names:
        if not any(operation.is_named(name) for operation in graph.operations):
            raise unknown_name(
                name,
                f"{variant}: the TFLite",
                [each.layer for each in graph.operations],
                [each.kind for each in graph.operations],
                subject="tflite.keep_float",
            )
    return [each for each in graph.operations if any(each.is_named(name) for name in names)]


def feed(details: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """Real numbers in the types of a signature's inputs: integers where it wants integers."""
    import numpy as np

    fed = {}
    for name, values in inputs.items():
        scale, zero_point = details[name]["quantization"]
        dtype = details[name]["dtype"]
        if scale:
            limits = np.iinfo(dtype)
            integers = np.rint(values / np.float32(scale)) + zero_point
            fed[name] = np.clip(integers, limits.min, limits.max).astype(dtype)
        else:
            fed[name] = values
    return fed


def _layers(tensor: str) -> list[str]:
    """Layers in a tensor's name, which is one path a fused operation: <model>/<layer>/<op>;..."""
    found = []
    for part in tensor.split(";"):
        path = [each for each in part.split("/") if not each.startswith(_CALLS)]
        if path and ":" not in path[-1]:
            found.append(layer_in(path))
    return found
