"""What a command about a published model is given: a spec, or the model's address alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.base import find_spec
from slipway.serving.address import split_address
from slipway.spec.loader import load_spec
from slipway.spec.rollout import PublishSpec

if TYPE_CHECKING:
    from slipway.storage import Store

PublishedArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model's name in dags/models, a YAML file, or where it is published: "
        "s3://bucket/prefix/model.",
    ),
]


_INSTEAD = "the path of a YAML file, or where it is published: s3://bucket/prefix/model"


@dataclass(frozen=True)
class Published:
    """A published model, as far as these commands must know it.

    Attributes:
        base_uri: Where its versions are published, without the model.
        model: Its name.
        keep_versions: How many versions stay.
        prefer_tflite_model: Whether servers shall load TFLite; None if only the address is known.
        server: The model server that serves it.
        server_version: Version of TensorFlow Serving that the spec names; "" if it is not known.
        reads: How the server gets at the bucket; None: as its version can.
        allow_operations: What a stranger's graph may hold.
    """

    base_uri: str
    model: str
    keep_versions: int
    prefer_tflite_model: bool | None = None
    server: str = "tensorflow_serving"
    server_version: str = ""
    reads: str | None = None
    allow_operations: tuple[str, ...] = ()

    def open(self) -> Store:
        """The store at the base URI.

        Raises:
            TerminalError: The address does not fit its scheme, or its client is not installed.
        """
        from slipway.storage import open_store

        return open_store(self.base_uri)


def find_published(given: str) -> Published:
    """What a spec or an address names.

    Raises:
        TerminalError: There is no such spec, it is wrong, or the address names no model.
    """
    is_spec = given.endswith(".yaml") or "/" not in given
    if is_spec:
        spec = load_spec(find_spec(given, _INSTEAD))
        publish = spec.publish
        return Published(
            publish.base_uri,
            spec.model,
            publish.keep_versions,
            spec.serve.prefer_tflite_model,
            spec.serve.server,
            spec.serve.server_version,
            spec.serve.reads,
            spec.incoming.allow_operations if spec.incoming else (),
        )
    base_uri, model = split_address(given)
    return Published(base_uri, model, PublishSpec.model_fields["keep_versions"].default)
