"""What crosses a process: requests, results and references, as JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from slipway.errors import ErrorKind, SlipwayError, TerminalError, TransientError


class Contract(BaseModel):
    """A message between processes: unknown fields are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def write(self, file: Path) -> None:
        """Write the message as JSON; a reader sees all of it or nothing, after a power cut too."""
        partial = file.with_name(f".{file.name}.partial")
        with partial.open("wb") as stream:
            stream.write(self.model_dump_json(indent=1).encode())
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)


class ArtifactRef(Contract):
    """A folder in the workspace, named by its content.

    Attributes:
        kind: What the folder holds: "keras" (saved_model/, weights.npz and architecture.json),
            "saved_model" (saved_model/), "tflite" (tflite/model.tflite), "onnx"
            (onnx/model.onnx) or "report".
        digest: sha256 over the folder, as `slipway.content.tree_digest` computes it.
        uri: Absolute path of the folder.
        size_bytes: Bytes of the part that a server loads.
    """

    kind: Literal["keras", "saved_model", "tflite", "onnx", "report"]
    digest: str
    uri: str
    size_bytes: int

    @property
    def path(self) -> Path:
        """The artifact's folder."""
        return Path(self.uri)

    @property
    def servable(self) -> Path:
        """The folder with exactly what a model server loads."""
        return self.path / (self.kind if self.kind in {"tflite", "onnx"} else "saved_model")


class StepRequest(Contract):
    """Everything that a step may know.

    Attributes:
        step: Name in the registry.
        model: The model's name.
        variant: The variant that the step works on; None if it works on all of them.
        config: The step's options, complete.
        definition: Path of the model definition's module; None if the step needs none.
        inputs: Artifacts that the step works on, by role: "source" for a technique, the variants'
            names for steps that compare them.
        results: What earlier steps reported, by task id, for steps that decide on them.
        parameters: What belongs to this run alone, such as its id: never part of the key.
        seed: Seed of everything random.
        workspace: Absolute path of the workspace.
        force: Run the step even if its result is known.
    """

    step: str
    model: str
    variant: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    definition: str | None = None
    inputs: dict[str, ArtifactRef] = Field(default_factory=dict)
    results: dict[str, StepOutcome] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    seed: int = 1
    workspace: str
    force: bool = False


class StepResult(Contract):
    """What a step made.

    Attributes:
        step: Name in the registry.
        model: The model's name.
        variant: The variant that the step worked on.
        key: Digest over everything that the result depends on; "" if the step is never reused.
        artifact: What was made, if anything.
        metrics: Small figures, units in their names.
        details: Small JSON facts for later steps and for people; never bytes, never secrets.
        reused: Whether the result was known already.
        duration_seconds: How long the step worked, when it did.
    """

    step: str
    model: str
    variant: str | None = None
    key: str = ""
    artifact: ArtifactRef | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    details: dict[str, Any] = Field(default_factory=dict)
    reused: bool = False
    duration_seconds: float = 0.0


class StepFailure(Contract):
    """A SlipwayError as JSON."""

    kind: ErrorKind
    message: str
    hint: str
    subject: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, error: SlipwayError) -> StepFailure:
        """The failure that an error describes."""
        return cls(
            kind=error.kind,
            message=error.message,
            hint=error.hint,
            subject=error.subject,
            details=error.details,
        )

    def error(self) -> SlipwayError:
        """The error, to be raised on this side of the process."""
        cls = TerminalError if self.kind == "terminal" else TransientError
        return cls(self.message, hint=self.hint, subject=self.subject, details=self.details)


class StepOutcome(Contract):
    """How a step ended: exactly one of the two is set."""

    result: StepResult | None = None
    failure: StepFailure | None = None

    def unwrap(self) -> StepResult:
        """The result.

        Raises:
            SlipwayError: the failure, if the step failed.
        """
        if self.result is None:
            failure = self.failure or StepFailure(
                kind="terminal", message="the step left no result", hint="read its log"
            )
            raise failure.error()
        return self.result


StepRequest.model_rebuild()
