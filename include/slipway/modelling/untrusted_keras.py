"""Python code in the metadata that Keras writes beside a graph, without loading it.

Servers and tf.saved_model.load leave it alone; tf_keras.models.load_model runs it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from slipway.modelling import saved_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_METADATA = "keras_metadata.pb"
_REASON = "holds Python code that Keras runs when it loads the model"
_UNREADABLE = "holds metadata of Keras that cannot be read"


def lambda_layers(folder: Path) -> Iterator[tuple[str, str]]:
    """Layers that hold Python code: pairs of the layer's name and the reason."""
    for text in _texts(folder):
        try:
            content = json.loads(text)
        except ValueError:
            yield _METADATA, _UNREADABLE
            continue
        yield from ((name, _REASON) for name in _lambdas(content))


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


def _lambdas(value: Any) -> Iterator[str]:
    """Names of what is a Lambda layer, or carries marshalled code, at any depth."""
    if isinstance(value, dict):
        config = value.get("config")
        name = config.get("name") if isinstance(config, dict) else None
        if value.get("class_name") in {"Lambda", "__lambda__"}:
            yield str(name or value.get("name") or "lambda")
            return
        for inner in value.values():
            yield from _lambdas(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _lambdas(inner)
