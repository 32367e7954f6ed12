"""SavedModels as folders: what is in them, read without loading them."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT_SIGNATURE = "serving_default"

_PREDICT = "tensorflow/serving/predict"
_FILES = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")


@dataclass(frozen=True)
class Signature:
    """One signature that a server can be asked by.

    Attributes:
        name: Its key.
        inputs: tf.TensorSpec by input name.
        outputs: tf.TensorSpec by output name.
    """

    name: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


def read_signatures(folder: Path) -> dict[str, Signature]:
    """The predict signatures of a SavedModel with the tag "serve", by name.

    Raises:
        TerminalError: if a file is missing or cannot be read, or nothing is tagged "serve".
    """
    content = parse(folder)
    for graph in content.meta_graphs:
        if "serve" in graph.meta_info_def.tags:
            return {
                name: Signature(name, _specs(found.inputs), _specs(found.outputs))
                for name, found in sorted(graph.signature_def.items())
                if found.method_name == _PREDICT
            }
    raise TerminalError(
        f"{folder} holds no graph with the tag 'serve', which model servers load",
        hint="export it again with tf.saved_model.save",
        subject=str(folder),
    )


def parse(folder: Path) -> Any:
    """The message of a SavedModel, as `saved_model_pb2.SavedModel`; nothing of it is run.

    Raises:
        TerminalError: if a file is missing or cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    _require_files(folder)
    content = saved_model_pb2.SavedModel()
    try:
        content.ParseFromString((folder / "saved_model.pb").read_bytes())
    except DecodeError:
        raise TerminalError(
            f"{folder / 'saved_model.pb'} is not a SavedModel",
            hint="export it again with tf.saved_model.save",
            subject=str(folder),
        ) from None
    return content


def choose_signature(variant: str, folder: Path, wanted: str | None) -> Signature:
    """A signature of a SavedModel: the wanted one, else serving_default, else the only one.

    Raises:
        TerminalError: if there is none such, with the names of those that there are.
    """
    signatures = read_signatures(folder)
    name = wanted
    if name is None:
        name = next(iter(signatures)) if len(signatures) == 1 else DEFAULT_SIGNATURE
    if name in signatures:
        return signatures[name]
    near = get_close_matches(name, signatures, n=1, cutoff=0.4)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    raise TerminalError(
        f"{variant}: the SavedModel has no signature {name!r}{guess}",
        hint=f"it has {', '.join(signatures) or 'none that can be served'}; name one in the "
        "spec's `signature`",
        subject="signature",
    )


def described(specs: Mapping[str, Any]) -> dict[str, Any]:
    """Type and shape, the batch first as None, of every tensor of a signature, as JSON."""
    return {
        name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()}
        for name, spec in specs.items()
    }


def _require_files(folder: Path) -> None:
    for name in _FILES:
        if name == _FILES[2] and any((folder / "variables").glob("variables.data-*")):
            continue
        if not (folder / name).is_file():
            raise TerminalError(
                f"the SavedModel {folder} has no {name}",
                hint="a server would load it and fail on the first request; "
                "copy the whole exported folder",
                subject=str(folder / name),
            )


def _specs(tensors: Any) -> dict[str, Any]:
    import tensorflow as tf

    return {
        name: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype), name=name)
        for name, info in sorted(tensors.items())
    }
