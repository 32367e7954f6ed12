"""Python code in the metadata that Keras writes beside a graph, without loading it.

Servers and tf.saved_model.load leave it alone; tf_keras.models.load_model runs it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from slipway.modelling import saved_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_METADATA = "keras_metadata.pb"
_REASON = "holds Python code that Keras runs when it loads the model"
_UNREADABLE = "holds metadata of Keras that cannot be read"


def lambda_layers(folder: Path) -> Iterator[tuple[str, str]]:
    """Layers that run Python code or unknown functions: the layer's name and the reason."""
    for text in _texts(folder):
        try:
            content = json.loads(text)
        except ValueError:
            yield _METADATA, _UNREADABLE
            continue
        yield from _harmful(content)


def _texts(folder: Path) -> Iterator[str]:
    """The metadata of every object, wherever a version of Keras keeps it."""
    for meta in saved_model.parse(folder).meta_graphs:
        for node in meta.object_graph_def.nodes:
            if node.user_object.metadata.startswith("{"):
                yield node.user_object.metadata
    file = folder / _METADATA
    if not file.is_file():
        return
    from google.protobuf.message import DecodeError
    from tf_keras.protobuf import saved_metadata_pb2

    content = saved_metadata_pb2.SavedMetadata()
    try:
        content.ParseFromString(file.read_bytes())
    except DecodeError:
        yield ""
        return
    yield from (node.metadata for node in content.nodes if node.metadata)


def _harmful(value: Any) -> Iterator[tuple[str, str]]:
    """Names and reasons of what runs Python or a function that is not known, at any depth."""
    if isinstance(value, dict):
        config = value.get("config")
        options = config if isinstance(config, dict) else {}
        reason = _reason(str(value.get("class_name")), options)
        if reason is not None:
            yield str(options.get("name") or value.get("name") or "lambda"), reason
            return
        for inner in value.values():
            yield from _harmful(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _harmful(inner)


def _reason(layer: str, config: dict[str, Any]) -> str | None:
    """Why a layer is refused; None if it is not."""
    if layer in {"Lambda", "__lambda__"}:
        return _REASON
    # Keras looks the name up in the module tensorflow and calls what it finds with the arguments
    # that stand beside it.
    if layer in {"TFOpLambda", "SlicingOpLambda"}:
        function = str(config.get("function"))
        return (
            None if _computes(function) else f"has Keras call tf.{function} when it loads the model"
        )
    if layer == "ClassMethod":
        called = f"{config.get('cls_symbol')}.{config.get('method_name')}"
        return f"has Keras call tf.{called} when it loads the model"
    return None


def _computes(function: str) -> bool:
    """Whether a function of TensorFlow only computes, as far as its name says."""
    name = function.removeprefix("compat.v1.").removeprefix("compat.v2.")
    return _COMPUTES.fullmatch(name) is not None


# https://www.tensorflow.org/api_docs/python/tf: what neither takes Python functions nor names a
# file, a library or another process.
_COMPUTES = re.compile(
    r"(?:__operators__|bitwise|image|linalg|math|nn|ragged|sets|signal|sparse|strings)\.\w+"
    r"|abs|add|add_n|argmax|argmin|argsort|boolean_mask|broadcast_to|cast|clip_by_norm"
    r"|clip_by_value|concat|constant|convert_to_tensor|cos|cumsum|divide|einsum|equal|exp"
    r"|expand_dims|eye|fill|floor|gather|gather_nd|greater|greater_equal|identity|less"
    r"|less_equal|linspace|logical_and|logical_not|logical_or|matmul|maximum|meshgrid"
    r"|minimum|multiply|negative|norm|not_equal|one_hot|ones|ones_like|pad|pow|range|rank"
    r"|reduce_all|reduce_any|reduce_logsumexp|reduce_max|reduce_mean|reduce_min|reduce_prod"
    r"|reduce_sum|repeat|reshape|reverse|roll|round|searchsorted|sequence_mask|shape|sigmoid"
    r"|sign|sin|size|slice|sort|space_to_batch|split|sqrt|square|squeeze|stack|stop_gradient"
    r"|strided_slice|subtract|tan|tanh|tensordot|tile|transpose|truediv|unique|unstack|where"
    r"|zeros|zeros_like"
)
