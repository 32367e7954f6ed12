"""What every step file builds on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from slipway.definition import Definition, load_definition
from slipway.errors import TerminalError

if TYPE_CHECKING:
    from slipway.contracts import ArtifactRef, StepRequest
    from slipway.spec.base import StepConfig
    from slipway.workspace import Kind, Workspace

ConfigT = TypeVar("ConfigT", bound="StepConfig")


@dataclass(frozen=True)
class StepOutput:
    """What a step's `run` gives back.

    Attributes:
        kind: Kind of the artifact that it left in the context's folder; None if it made none.
        metrics: Small figures, units in their names.
        details: Small JSON facts.
    """

    kind: Kind | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepContext:
    """What a step's `run` is given.

    Attributes:
        request: The whole request.
        folder: An empty folder; what the step leaves there becomes its artifact.
        workspace: The workspace, for steps that need a place of their own.
    """

    request: StepRequest
    folder: Path
    workspace: Workspace

    @property
    def variant(self) -> str:
        """Name of the variant, or of the step where there is no variant: for messages."""
        return self.request.variant or self.request.step

    def config(self, cls: type[ConfigT]) -> ConfigT:
        """The step's options, typed."""
        return cls.model_validate(self.request.config)

    def definition(self) -> Definition:
        """The model definition.

        Raises:
            TerminalError: if the spec names none or it cannot be imported.
        """
        if self.request.definition is None:
            raise TerminalError(
                f"the step {self.request.step} needs a model definition",
                hint="name one in the spec's `definition`",
                subject="definition",
            )
        return load_definition(Path(self.request.definition))

    def input(self, role: str) -> ArtifactRef:
        """The artifact for a role.

        Raises:
            TerminalError: if the request has none, or its folder is gone.
        """
        reference = self.request.inputs.get(role)
        if reference is None:
            raise TerminalError(
                f"{self.variant}: the step {self.request.step} was given no {role}",
                hint="run the step that makes it first",
                subject=role,
            )
        if not reference.path.is_dir():
            raise TerminalError(
                f"{self.variant}: the artifact of {role}, {reference.uri}, is gone",
                hint="clear the step that made it; the workspace was emptied since",
                subject=reference.uri,
            )
        return reference

    def say(self, message: str) -> None:
        """Show progress: one line in the log, at once."""
        print(f"[{self.variant}] {message}", flush=True)  # noqa: T201  # stdout is the log
