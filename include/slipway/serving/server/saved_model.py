"""The SavedModel backend: one session per version, as TensorFlow Serving holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.serving.server.signatures import Signature, TensorSpec
from slipway.serving.server.status import StatusError, as_status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from slipway.serving.server.flags import ServerFlags
    from slipway.serving.server.signatures import Arrays


class SavedModelServable:
    """A SavedModel in memory.

    It runs in a session rather than as restored functions: that is how TensorFlow Serving runs
    it, closing it frees the memory for sure, and a call costs a fifth.

    Args:
        folder: Holds ``saved_model.pb`` (or ``.pbtxt``) and ``variables/``.
        flags: Tags, timeout and parallelism.

    Raises:
        StatusError: NOT_FOUND without a SavedModel, else whatever TensorFlow said.
    """

    runs_graph = True

    def __init__(self, folder: Path, flags: ServerFlags) -> None:
        if not any((folder / f"saved_model.{kind}").is_file() for kind in ("pb", "pbtxt")):
            raise StatusError(
                "NOT_FOUND",
                "Could not find SavedModel .pb or .pbtxt at supplied export directory path: "
                f"{folder}",
            )
        self._session, definition = _load(folder, flags)
        self._definitions = dict(definition.signature_def)
        self._calls: dict[str, Callable[..., list[Any]]] = {}
        self.signatures: Mapping[str, Signature] = {
            name: signature
            for name, found in self._definitions.items()
            if (signature := _signature(found)) is not None
        }
        for name, signature in self.signatures.items():
            self._calls[name] = self._prepare(name, signature, flags.rest_api_timeout_in_ms)

    def run(self, signature: str, inputs: Arrays) -> Arrays:
        """Answers one request; see `Servable.run`."""
        found = self.signatures[signature]
        try:
            values = self._calls[signature](*[inputs[name] for name in found.inputs])
        except Exception as error:
            raise as_status(error) from error
        return dict(zip(found.outputs, values, strict=True))

    def metadata(self) -> dict[str, Any]:
        """Every SignatureDef of the SavedModel, the initializer's included."""
        from google.protobuf import json_format

        return {
            name: json_format.MessageToDict(
                definition,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
            for name, definition in self._definitions.items()
        }

    def close(self) -> None:
        """Frees the session and its variables."""
        self._calls.clear()
        self._session.close()

    def _prepare(
        self, name: str, signature: Signature, timeout_ms: int
    ) -> Callable[..., list[Any]]:
        from tensorflow.core.protobuf import config_pb2

        definition = self._definitions[name]
        options = config_pb2.CallableOptions()
        options.feed.extend(definition.inputs[key].name for key in signature.inputs)
        options.fetch.extend(definition.outputs[key].name for key in signature.outputs)
        options.run_options.timeout_in_ms = timeout_ms
        # make_callable takes feeds through Session.run: 165 us a call against 45 us.
        call: Callable[..., list[Any]] = self._session._make_callable_from_options(options)  # noqa: SLF001 - the public one is four times slower
        return call


def _load(folder: Path, flags: ServerFlags) -> tuple[Any, Any]:
    import tensorflow as tf

    both = flags.tensorflow_session_parallelism
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=flags.tensorflow_intra_op_parallelism or both,
        inter_op_parallelism_threads=flags.tensorflow_inter_op_parallelism or both,
        allow_soft_placement=True,
    )
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=config)
    tags = flags.saved_model_tags.split(",")
    try:
        with graph.as_default():
            return session, tf.compat.v1.saved_model.load(session, tags, str(folder))
    except BaseException:
        session.close()
        raise


def _signature(definition: Any) -> Signature | None:
    tensors = [*definition.inputs.values(), *definition.outputs.values()]
    # An initializer has no method name; composite tensors have no single name to feed or fetch.
    if not definition.method_name or not all(info.name for info in tensors):
        return None
    return Signature(_specs(definition.inputs), _specs(definition.outputs))


def _specs(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {name: _spec(infos[name]) for name in sorted(infos)}


def _spec(info: Any) -> TensorSpec:
    import tensorflow as tf

    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
    return TensorSpec(tf.as_dtype(info.dtype).name, sizes)
