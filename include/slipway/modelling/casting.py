"""SavedModels whose weights take half the space: kept in 16 bits, computed with in float32."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from slipway.modelling.saved_model import Signature

Half = Literal["float16", "bfloat16"]

_EXTRA = "assets.extra"  # warm-up requests


@dataclass
class _Frozen:
    """A signature as one graph without variables.

    Attributes:
        graph: Its GraphDef; weights that were cast are no part of it.
        inputs: Tensor names by input.
        resources: Lookup tables and the like that it refers to, by tensor name.
        weights: Variables in 16 bits, by the name of the tensor that each stands for.
        outputs: Tensor names by output.
    """

    graph: Any
    inputs: dict[str, str]
    resources: dict[str, Any]
    weights: dict[str, Any]
    outputs: dict[str, str]


@dataclass(frozen=True)
class Cast:
    """What a cast did.

    Attributes:
        weights: How many weights are kept in 16 bits now.
        share: Share of the numbers of all float32 weights and constants that they hold, 0 to 1.
        largest_error: Largest change of one of them, relative to the largest of its weight.
    """

    weights: int
    share: float
    largest_error: float


class _Weights:
    """The weights of all signatures, each kept once however many use it."""

    def __init__(self, variant: str, half: Half, smallest: int) -> None:
        self._variant = variant
        self._half = half
        self._smallest = smallest
        self._known: dict[bytes, Any] = {}
        self._numbers = {"cast": 0, "all": 0}
        self._largest_error = 0.0

    @property
    def variables(self) -> list[Any]:
        return list(self._known.values())

    def summary(self) -> Cast:
        share = self._numbers["cast"] / max(1, self._numbers["all"])
        return Cast(len(self._known), share, self._largest_error)

    def take(self, values: Any, place: str) -> Any | None:
        """The variable for a constant; None if it stays as it is.

        Raises:
            TerminalError: a number is too large for the type.
        """
        import numpy as np
        import tensorflow as tf

        if values.dtype != np.float32:
            return None
        digest = values.tobytes() + str(values.shape).encode()
        if digest in self._known:
            return self._known[digest]
        self._numbers["all"] += values.size
        if values.size < self._smallest:
            return None
        with np.errstate(over="ignore"):  # told below
            cast = values.astype(tf.as_dtype(self._half).as_numpy_dtype)
        back = cast.astype(np.float32)
        if not np.isfinite(back).all():
            raise TerminalError(
                f"{self._variant}: a weight of {place} is as large as {np.abs(values).max():g}, "
                f"which {self._half} cannot hold",
                hint="use bfloat16, which has the range of float32, or scale the layer",
                subject=place,
            )
        largest = float(np.abs(values).max())
        if largest > 0:
            error = float(np.abs(back - values).max()) / largest
            self._largest_error = max(self._largest_error, error)
        self._numbers["cast"] += values.size
        name = f"weight_{len(self._known)}"
        self._known[digest] = tf.Variable(cast, name=name, trainable=False)
        return self._known[digest]


def cast_saved_model(
    variant: str,
    source: Path,
    target: Path,
    signatures: Mapping[str, Signature],
    *,
    half: Half,
    smallest: int,
) -> Cast:
    """Write a SavedModel with the same signatures and with weights in 16 bits.

    The weights are variables of that type, cast to float32 in each call: what is saved on disk and
    in memory costs time.

    Args:
        variant: For messages.
        source: The SavedModel.
        target: Where to; it must not exist yet.
        signatures: All signatures that it is to have.
        half: The type.
        smallest: Weights with fewer numbers stay float32: biases, scales, what scales the inputs.

    Raises:
        TerminalError: a weight is too large for the type, or none is large enough to be cast.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(source))
    weights = _Weights(variant, half, smallest)
    functions = {
        name: _function(signature, _freeze(loaded.signatures[name], weights))
        for name, signature in signatures.items()
    }
    if not weights.variables:
        raise TerminalError(
            f"{variant}: no float32 weight has {smallest} numbers or more",
            hint="lower cast.smallest_weight, or leave this variant out",
            subject="cast.smallest_weight",
        )
    module = tf.Module()
    module.weights = weights.variables
    module.resources = _resources(loaded)
    # Gradients of its own (swish has one) would refer to a graph that is no longer there; nobody
    # trains this model.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(target), signatures=functions, options=options)
    # It holds a random id, and servers do without it: no byte here may differ from run to run.
    (target / "fingerprint.pb").unlink(missing_ok=True)
    if (source / _EXTRA).is_dir():
        shutil.copytree(source / _EXTRA, target / _EXTRA)
    return weights.summary()


def _resources(loaded: Any) -> list[Any]:
    """Lookup tables and the like, which a graph can refer to only if the module holds them."""
    import tensorflow as tf

    return [
        item
        for item in tf.train.TrackableView(loaded).descendants()
        if isinstance(item, tf.saved_model.experimental.TrackableResource)
    ]


def _freeze(function: Any, weights: _Weights) -> _Frozen:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    graph = frozen.graph.as_graph_def()
    found: dict[str, Any] = {}
    for node in graph.node:
        if node.op == "Const":
            values = tf.make_ndarray(node.attr["value"].tensor)
            variable = weights.take(values, _reader(graph.node, node.name))
            if variable is not None:
                found[f"{node.name}:0"] = variable
    kept = [node for node in graph.node if f"{node.name}:0" not in found]
    del graph.node[:]
    graph.node.extend(kept)
    names = [spec.name for spec in tf.nest.flatten(function.structured_input_signature)]
    placeholders = [tensor.name for tensor in frozen.inputs]
    captured = {inner.name: outer for outer, inner in function.graph.captures}
    return _Frozen(
        graph=graph,
        inputs=dict(zip(names, placeholders, strict=False)),
        resources={place: captured[place] for place in placeholders[len(names) :]},
        weights=found,
        outputs=dict(
            zip(
                sorted(function.structured_outputs),
                (tensor.name for tensor in frozen.outputs),
                strict=True,
            )
        ),
    )


def _reader(nodes: Iterable[Any], name: str) -> str:
    """The operation that reads a constant, past those that only hand it on."""
    for node in nodes:
        if name in node.input:
            return _reader(nodes, node.name) if node.op == "Identity" else str(node.name)
    return name


def _function(signature: Signature, frozen: _Frozen) -> Any:
    import tensorflow as tf

    @tf.function(input_signature=[dict(signature.inputs)])  # type: ignore[untyped-decorator]
    def serve(tensors: Any) -> Any:
        given = {place: tensors[name] for name, place in frozen.inputs.items()}
        graph = tf.compat.v1.get_default_graph()
        held = {place: graph.capture(item) for place, item in frozen.resources.items()}
        real = {name: tf.cast(weight, tf.float32) for name, weight in frozen.weights.items()}
        answers = tf.graph_util.import_graph_def(
            frozen.graph,
            input_map={**given, **held, **real},
            return_elements=list(frozen.outputs.values()),
            name="",
        )
        return dict(zip(frozen.outputs, answers, strict=True))

    return serve.get_concrete_function()
