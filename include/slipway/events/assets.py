"""Which assets a dropped SavedModel names, read without TensorFlow."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection


def missing_asset(graph: bytes, files: Collection[str]) -> str | None:
    """The first asset that a SavedModel names and that is not among its files; None if none is.

    What cannot be read names none: the import says what is wrong with it.

    Args:
        graph: Content of `saved_model.pb`.
        files: Paths within the folder.
    """
    from google.protobuf.message import DecodeError

    content = _saved_model()()
    try:
        content.ParseFromString(graph)
    except DecodeError:
        return None
    named = {f"assets/{one.filename}" for meta in content.meta for one in meta.assets}
    return min(named - set(files), default=None)


@cache
def _saved_model() -> Any:
    """The few fields of tensorflow/core/protobuf/{saved_model,meta_graph}.proto that tell.

    TensorFlow's own classes would bring all of TensorFlow into every run of the intake.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="slipway_assets.proto", package="slipway")
    asset, graph, model = (
        file.message_type.add(name=name).field.add() for name in ("Asset", "Graph", "Model")
    )
    asset.name, asset.number, asset.type = "filename", 2, kind.TYPE_STRING
    graph.name, graph.number, graph.type_name = "assets", 6, ".slipway.Asset"
    model.name, model.number, model.type_name = "meta", 2, ".slipway.Graph"
    asset.label = kind.LABEL_OPTIONAL
    for repeated in (graph, model):
        repeated.label, repeated.type = kind.LABEL_REPEATED, kind.TYPE_MESSAGE
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("slipway.Model"))
