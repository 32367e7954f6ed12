"""Definitions written by a test, and the context in which a step would work on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.contracts import StepRequest
from slipway.definition import Definition, load_definition
from slipway.steps.base import StepContext
from slipway.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path


def written(folder: Path, text: str, name: str = "written") -> Definition:
    """The definition with this text."""
    file = folder / f"{name}.py"
    file.write_text(text, "utf-8")
    return load_definition(file)


def context_for(folder: Path, step: str) -> StepContext:
    """The context of a step on the variant `tried`, in an empty folder."""
    request = StepRequest(step=step, model="tiny", variant="tried", workspace=str(folder))
    made = folder / "made"
    made.mkdir(exist_ok=True)
    return StepContext(request, made, Workspace(folder / "workspace"))
