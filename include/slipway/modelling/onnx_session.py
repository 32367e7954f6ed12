"""ONNX models under onnxruntime, on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.modelling.onnx_graph import signature_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Without VNNI (AVX2 alone) products of eight-bit integers are added in 16 bits, which overflow in
# silence; this asks for sums that do not: onnxruntime_session_options_config_keys.h.
_EXACT_SUMS = "session.x64quantprecision"
_DTYPES = {"float": "float32", "double": "float64"}


class OnnxSession:
    """A model in memory; INT8 gives the same answers on every CPU.

    Args:
        model: The file, or its bytes.
        threads: That one call may use.
        optimise: Whether onnxruntime may fuse and rewrite what it runs.

    Attributes:
        signature: The signature that it was made of; None if nothing tells.
        inputs: Type, as TensorFlow names it, and shape (-1: any size) by name.
        outputs: The same of what it gives.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1, optimise: bool = True) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 3  # errors; what it warns of is its own rewriting
        options.add_session_config_entry(_EXACT_SUMS, "1")
        if not optimise:
            off = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.graph_optimization_level = off
        self._session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            options,
            providers=["CPUExecutionProvider"],
        )
        self.signature = signature_of(self._session.get_modelmeta().custom_metadata_map)
        self.inputs = _described(self._session.get_inputs())
        self.outputs = _described(self._session.get_outputs())

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one request; texts are bytes, as in TensorFlow, and must be UTF-8.

        Raises:
            Exception: whatever onnxruntime says of inputs that it cannot take.
        """
        given = {name: to_text(values) for name, values in inputs.items() if name in self.inputs}
        names = list(self.outputs)
        return dict(zip(names, map(_to_bytes, self._session.run(names, given)), strict=True))


def _described(nodes: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    found = {}
    for node in nodes:
        kind = node.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
        found[node.name] = (_DTYPES.get(kind, kind), shape)
    return found


def to_text(values: Any) -> Any:
    """Texts as onnxruntime takes them, of bytes in UTF-8; other arrays stay as they are."""
    import numpy as np

    if values.dtype.kind not in "OS":
        return values
    flat = [each.decode() if isinstance(each, bytes) else str(each) for each in values.ravel()]
    return np.array(flat, dtype=object).reshape(values.shape)


def _to_bytes(values: Any) -> Any:
    import numpy as np

    if values.dtype.kind not in "OU":
        return values
    flat = [str(each).encode() for each in values.ravel()]
    return np.array(flat, dtype=object).reshape(values.shape)
