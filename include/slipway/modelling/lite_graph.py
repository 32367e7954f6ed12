"""The operations of a TFLite file by layer, and which of them a name in a spec means."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError

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
    """The first subgraph of a file.

    Attributes:
        operations: In the order in which they run.
        tensors: What LiteRT tells of each tensor, by index.
    """

    operations: tuple[Operation, ...]
    tensors: dict[int, dict[str, Any]]

    def name(self, index: int) -> str:
        """A tensor's name."""
        found: str = self.tensors[index]["name"]
        return found


def open_file(content: bytes) -> Any:
    """An interpreter that keeps every tensor and runs the operations as they are in the file."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    return Interpreter(
        model_content=content,
        num_threads=1,
        experimental_preserve_all_tensors=True,
        # A delegate would swallow operations, and with them the tensors between them.
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )


def read_graph(interpreter: Any) -> Graph:
    """The operations of an interpreter's first subgraph."""
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    layers_of: dict[int, tuple[str, ...]] = {}
    operations = []
    # LiteRT has no public way to list operations.
    for found in interpreter._get_ops_details():  # noqa: SLF001
        inputs = tuple(int(index) for index in found["inputs"] if index >= 0)
        outputs = tuple(int(index) for index in found["outputs"] if index >= 0)
        layers = tuple(
            dict.fromkeys(name for index in outputs for name in _layers(tensors[index]["name"]))
        )
        # The converter gives what the signature returns a name of its own.
        layers = layers or next((layers_of[i] for i in inputs if layers_of.get(i)), ())
        layers_of |= dict.fromkeys(outputs, layers)
        layer = layers[0] if layers else found["op_name"]
        operations.append(Operation(found["op_name"], layer, layers, inputs, outputs))
    return Graph(tuple(operations), tensors)


def named_operations(variant: str, graph: Graph, names: Sequence[str]) -> list[Operation]:
    """The operations that names in a spec mean, in the order in which they run.

    Raises:
        TerminalError: if a name means none, with the nearest one.
    """
    for name in names:
        if not any(operation.is_named(name) for operation in graph.operations):
            layers = list(dict.fromkeys(each.layer for each in graph.operations))
            kinds = sorted({each.kind for each in graph.operations})
            near = get_close_matches(name, [*layers, *kinds], n=1, cutoff=0.4)
            guess = f"; did you mean {near[0]!r}?" if near else ""
            raise TerminalError(
                f"{variant}: the TFLite graph has no layer or operation {name!r}{guess}",
                hint=f"name layers of {', '.join(layers)}, or operations of {', '.join(kinds)}",
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
    """Layers in a tensor's name, which is one path a fused operation: <model>/<layer>/<op>;...

    Where a model has no layers, the operation's own name in TensorFlow stands for one.
    """
    found = []
    for part in tensor.split(";"):
        path = [each for each in part.split("/") if not each.startswith(_CALLS)]
        if path and ":" not in path[-1]:
            found.append(path[-2] if len(path) > 1 else path[-1])
    return found
