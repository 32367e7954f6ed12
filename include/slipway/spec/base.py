"""The strict base of everything that a user may write in a spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

if TYPE_CHECKING:
    from slipway.registry import Artifact

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""A model or variant name: safe as a DAG id, a bucket prefix and a Kubernetes label value."""

Ratio = Annotated[float, Field(ge=0.0, le=1.0)]
"""A share between 0 and 1."""


class SpecModel(BaseModel):
    """A part of a spec: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StepConfig(SpecModel):
    """The options of one step. A technique declares its own subclass in its step file."""

    @property
    def consumes(self) -> tuple[Artifact, ...] | None:
        """Kinds of artifact that the technique works on with these options; None: as always."""
        return None

    @property
    def produces(self) -> Artifact | None:
        """Kind of artifact that it makes with these options; None: as always."""
        return None
