"""Where a quantized TFLite file loses what the float one knows: layer by layer, side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from slipway.modelling.lite_graph import feed, read_graph

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from slipway.modelling.lite_graph import Graph

MOST_LAYERS = 5
SMALLEST_ERROR = 0.02
# Of an error, from which on the range of the layer's output is what it comes from.
_BY_RANGE = 0.5


@dataclass(frozen=True)
class LayerError:
    """What one layer loses.

    Attributes:
        layer: Its name.
        operation: TFLite's name of the operation.
        error: Share of its output that is lost in it, 0 to 1: the root mean square of the
            difference to the float model over that of the float output, by channel, averaged over
            the channels, less what was lost already in its inputs.
        keep_float: Layers that have to stay float to keep it. Beside the layer itself those that
            read its output, where that has too wide a range for integers.
    """

    layer: str
    operation: str
    error: float
    keep_float: tuple[str, ...]

    def as_details(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"error": round(self.error, 4), "keep_float": list(self.keep_float)}


@dataclass
class _Sums:
    """Squares by channel, summed over the examples: of the float output and of two differences."""

    reference: Any = 0.0
    difference: Any = 0.0
    rounding: Any = 0.0

    def shares(self) -> tuple[float, float]:
        return _share(self.difference, self.reference), _share(self.rounding, self.reference)


@dataclass
class _Model:
    """A file in an interpreter, asked by signature."""

    content: bytes
    signature: str

    def __post_init__(self) -> None:
        self._interpreter = _open(self.content)
        self._runner = self._interpreter.get_signature_runner(self.signature)
        self.graph = read_graph(self.content, self.signature)
        found = self._interpreter.get_tensor_details(self.graph.index)
        self.tensors = {tensor["name"]: tensor for tensor in found}
        self.outputs = {each["name"] for each in self._runner.get_output_details().values()}

    def run(self, inputs: Mapping[str, Any]) -> None:
        self._runner(**feed(self._runner.get_input_details(), dict(inputs)))

    def value(self, name: str) -> np.ndarray:
        index = self.tensors[name]["index"]
        found: np.ndarray = self._interpreter.get_tensor(index, self.graph.index)
        return found


def _open(content: bytes) -> Any:
    """An interpreter that keeps every tensor and runs the operations as they are in the file."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    return Interpreter(
        model_content=content,
        num_threads=1,
        experimental_preserve_all_tensors=True,
        # A delegate would swallow operations, and with them the tensors between them.
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )


def find_layer_errors(
    original: bytes, quantized: bytes, signature: str, examples: Iterable[Mapping[str, Any]]
) -> list[LayerError]:
    """The layers that lose most, worst first: at most MOST_LAYERS, each above SMALLEST_ERROR.

    Args:
        original: The float file.
        quantized: The same model, quantized; its tensors have the same names.
        signature: The signature to ask.
        examples: Inputs by name, real numbers, a batch of one each.
    """
    one, other = _Model(original, signature), _Model(quantized, signature)
    sums: dict[int, _Sums] = {}
    for inputs in examples:
        one.run(inputs)
        other.run(inputs)
        for operation in one.graph.operations:
            for index in operation.outputs:
                _add(sums, index, one, other)
    shares = {index: each.shares() for index, each in sums.items()}
    found = [
        error
        for operation in one.graph.operations
        for index in operation.outputs
        if index in shares and (error := _error(one.graph, operation, index, shares))
    ]
    return sorted(found, key=lambda each: -each.error)[:MOST_LAYERS]


def summary(errors: Iterable[Mapping[str, Any]]) -> str:
    """What `LayerError.as_details` told, in one clause; empty if there is nothing to tell."""
    told = list(errors)
    if not told:
        return ""
    layers = ", ".join(f"{each['layer']} ({each['error']:.0%})" for each in told)
    names = ", ".join(told[0]["keep_float"])
    repair = f"keep_float: [{names}] keeps the worst in float32"
    return f"the conversion loses most in {layers}; {repair}"


def _add(sums: dict[int, _Sums], index: int, one: _Model, other: _Model) -> None:
    import numpy as np

    name = one.graph.names[index]
    if name not in other.tensors or one.tensors[name]["dtype"] is not np.float32:
        return
    there = other.tensors[name]
    wanted = one.value(name)
    found, rounded = _real(other.value(name), there), _rounded(wanted, there)
    if found.shape != wanted.shape:
        return
    # Weights may favour a small channel, but nothing weighs what the signature returns.
    by_channel = name not in one.outputs
    each = sums.setdefault(index, _Sums())
    each.reference = each.reference + _squares(wanted, by_channel=by_channel)
    each.difference = each.difference + _squares(found - wanted, by_channel=by_channel)
    each.rounding = each.rounding + _squares(rounded - wanted, by_channel=by_channel)


def _error(
    graph: Graph, operation: Any, index: int, shares: dict[int, tuple[float, float]]
) -> LayerError | None:
    before = max((shares[each][0] for each in operation.inputs if each in shares), default=0.0)
    total, rounding = shares[index]
    error = total - before
    if error < SMALLEST_ERROR:
        return None
    keep = [operation.layer]
    if rounding > _BY_RANGE * error:
        keep += [reader.layer for reader in graph.operations if index in reader.inputs]
    return LayerError(operation.layer, operation.kind, error, tuple(dict.fromkeys(keep)))


def _real(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    import numpy as np

    scale, zero_point = tensor["quantization"]
    if not scale:
        return values
    real: np.ndarray = (values.astype(np.float32) - zero_point) * np.float32(scale)
    return real


def _rounded(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """The float output as the quantized tensor could hold it at best."""
    if not tensor["quantization"][0]:
        return values
    details = {"it": tensor}
    return _real(feed(details, {"it": values})["it"], tensor)


def _squares(values: np.ndarray, *, by_channel: bool) -> np.ndarray:
    import numpy as np

    flat = values.reshape(-1, values.shape[-1]) if by_channel and values.ndim else values.ravel()
    total: np.ndarray = np.square(flat.astype(np.float64)).sum(axis=0)
    return total


def _share(difference: Any, reference: Any) -> float:
    import numpy as np

    difference, reference = np.atleast_1d(difference), np.atleast_1d(reference)
    alive = reference > 0
    if not alive.any():
        return 0.0
    return float(np.minimum(1.0, np.sqrt(difference[alive] / reference[alive])).mean())
