"""Where a quantized or cast ONNX model loses what the float32 one knows: layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.modelling.onnx_graph import layer_of
from slipway.modelling.onnx_precision import weighted_nodes
from slipway.modelling.onnx_session import OnnxSession

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

MOST_LAYERS = 5
SMALLEST_ERROR = 0.02


def find_layer_errors(
    one: Any, other: Any, examples: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The layers that lose most, worst first.

    A layer's error is the share of its output that is lost in it, 0 to 1: the root mean square of
    the difference to the float32 model over that of the float32 output, by channel, averaged over
    the channels, less what was lost already in its input. Its input's quantization counts to it.

    Args:
        one: onnx.ModelProto in float32.
        other: The same graph in less.
        examples: Inputs to ask both.

    Returns:
        layer, operation, error and keep_float (the layers whose staying float32 mends it) of each
        that loses at least 2 percent, at most five.
    """
    nodes = weighted_nodes(one)
    tensors = list(dict.fromkeys(name for node in nodes for name in _ends(node)))
    sums: dict[str, tuple[Any, Any]] = {}
    exposed = _exposed(one, tensors), _exposed(other, tensors)
    for inputs in examples:
        wanted, found = (session.run(inputs) for session in exposed)
        for name in tensors:
            if name in wanted and name in found:
                reference, difference = sums.get(name, (0.0, 0.0))
                sums[name] = (
                    reference + _squares(wanted[name], one, name),
                    difference + _squares(_difference(found[name], wanted[name]), one, name),
                )
    shares = {name: _share(*each) for name, each in sums.items()}
    errors = []
    for node in nodes:
        before, after = (shares.get(name, 0.0) for name in _ends(node))
        if after - before >= SMALLEST_ERROR:
            layer = layer_of(node.name)
            errors.append(
                {
                    "layer": layer,
                    "operation": node.op_type,
                    "error": round(after - before, 4),
                    "keep_float": [layer],
                }
            )
    return sorted(errors, key=lambda each: -float(each["error"]))[:MOST_LAYERS]


def first_not_finite(model: Any, inputs: Mapping[str, Any]) -> str | None:
    """The first layer whose output is NaN or infinite; None if none is."""
    import numpy as np

    made = {name: node for node in model.graph.node for name in node.output if name}
    for name, values in _exposed(model, list(made)).run(inputs).items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            return layer_of(made[name].name)
    return None


def _ends(node: Any) -> tuple[str, str]:
    return node.input[0], node.output[0]


def _exposed(model: Any, tensors: list[str]) -> OnnxSession:
    """A session that gives what flows between the layers too, in the order in which it is made."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    made = {name for node in model.graph.node for name in node.output}
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name in made)
    return OnnxSession(copy.SerializeToString(), optimise=False)


def _difference(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    import numpy as np

    difference: np.ndarray = found.astype(np.float64) - wanted
    return difference


def _squares(values: np.ndarray, model: Any, tensor: str) -> np.ndarray:
    """Squares by channel, summed over the rest: the second axis of images, the last of others."""
    import numpy as np

    images = any(
        tensor in _ends(node) and node.op_type.startswith("Conv") for node in model.graph.node
    )
    axis = 1 if images else -1
    flat = np.moveaxis(np.atleast_1d(values).astype(np.float64), axis, -1)
    total: np.ndarray = np.square(flat.reshape(-1, flat.shape[-1])).sum(axis=0)
    return total


def _share(reference: Any, difference: Any) -> float:
    import numpy as np

    alive = reference > 0
    if not alive.any():
        return 0.0
    return float(np.minimum(1.0, np.sqrt(difference[alive] / reference[alive])).mean())
