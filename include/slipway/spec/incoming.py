"""Models that others make: where they are dropped, and what may be in them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveInt, StringConstraints, model_validator

from slipway.spec.base import SpecModel
from slipway.spec.rollout import BUCKET_PATTERN

OperationName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.>]{0,99}$")]
"""Name of an operation of TensorFlow, as a graph names it; `Lambda` for Keras' Lambda layers."""

_DIGEST = r"^[0-9a-f]{64}$"


class IncomingSpec(SpecModel):
    """SavedModels that a person or another system makes: never trusted, never loaded unread."""

    uri: str | None = Field(
        None,
        pattern=BUCKET_PATTERN,
        description="Where models are dropped, each in a folder of its own directly below; null: "
        "nowhere, and the rest holds for `saved_model`.",
    )
    connection: str = Field(
        "aws_default",
        description="Airflow connection with the credentials that read there; "
        "google_cloud_default for gs://, if not given.",
    )
    marker: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._=-]{0,99}$",
        description="File directly in a dropped folder that says that it is complete; it is not "
        "published. null: a SavedModel's own files say it.",
    )
    settle_seconds: NonNegativeFloat = Field(
        5.0, description="How long a dropped folder must not have changed to be complete."
    )
    largest_bytes: PositiveInt = Field(
        10 << 30, description="A dropped folder with more bytes is refused before it is read."
    )
    optimise: bool = Field(
        True,
        description="Whether variants are made of the model; false: it goes straight to validation "
        "and rollout.",
    )
    allow_operations: tuple[OperationName, ...] = Field(
        (),
        description="Operations that may be in the graph although they read or write files, call "
        "Python, reach the network, hide what they run or are unknown: ReadFile, PyFunc, ...",
    )

    @model_validator(mode="before")
    @classmethod
    def _connection_follows_the_cloud(cls, given: Any) -> Any:
        if isinstance(given, dict) and str(given.get("uri")).startswith("gs://"):
            return {"connection": "google_cloud_default", **given}
        return given


class IncomingModel(SpecModel):
    """A run's parameter `incoming`: the dropped folder that the run is for."""

    uri: str = Field(max_length=2048, description="The folder, directly below incoming.uri.")
    digest: str = Field(
        pattern=_DIGEST, description="slipway.content.digest_of over all files of the folder."
    )
