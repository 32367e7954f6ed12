"""Turn what pydantic found into lines that a person can act on."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from slipway.spec.positions import line_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a spec.

    Attributes:
        file: The file that says it, or that should.
        line: Line of the field, from 1; None if the file as a whole is meant.
        field: Dotted path of the field.
        message: What was found, and what is allowed.
    """

    file: Path
    line: int | None
    field: str
    message: str

    def __str__(self) -> str:
        here = Path.cwd()
        file = self.file.relative_to(here) if self.file.is_relative_to(here) else self.file
        place = f"{file}:{self.line}" if self.line else str(file)
        return ": ".join(part for part in (place, self.field, self.message) if part)


def describe(error: ValidationError, root: type[BaseModel], files: Sequence[Path]) -> list[Problem]:
    """One problem for each finding of pydantic.

    Args:
        error: What pydantic raised.
        root: The model that was validated.
        files: Where the values came from, the strongest first.
    """
    return [_problem(finding, root, files) for finding in error.errors(include_url=False)]


def locate(files: Sequence[Path], path: Sequence[str | int]) -> tuple[Path, int | None]:
    """The file and line that a field comes from: the strongest file that has it."""
    for file in files:
        line = line_of(file, path, exact=True)
        if line is not None:
            return file, line
    return files[0], line_of(files[0], path)


def _problem(finding: ErrorDetails, root: type[BaseModel], files: Sequence[Path]) -> Problem:
    path = tuple(step for step in finding["loc"] if step != "[key]")
    file, line = locate(files, path)
    return Problem(file, line, ".".join(map(str, path)), _message(finding, root, path))


def _message(finding: ErrorDetails, root: type[BaseModel], path: Sequence[str | int]) -> str:
    found = finding["input"]
    if finding["type"] == "extra_forbidden":
        allowed = _fields(root, path[:-1])
        return f"unknown field{_nearest(str(path[-1]), allowed)}; allowed: {', '.join(allowed)}"
    if finding["type"] == "missing":
        return "missing; this field is required"
    if finding["type"] == "value_error":
        return str(finding["msg"]).removeprefix("Value error, ")
    if finding["type"] == "literal_error":
        options = [option.strip().strip("'") for option in _expected(finding)]
        allowed = sorted(options)
        return f"found {found!r}{_nearest(str(found), allowed)}; allowed: {', '.join(allowed)}"
    if finding["type"] == "string_pattern_mismatch":
        return f"found {found!r}; allowed: text that matches {finding['ctx']['pattern']}"
    text = finding["msg"].removeprefix("Input should be ")
    return f"found {_shown(found)}; allowed: {text[0].lower()}{text[1:]}"


def _expected(finding: ErrorDetails) -> list[str]:
    text: str = finding["ctx"]["expected"]
    return text.replace(" or ", ", ").split(", ")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004  # one terminal line


def _nearest(name: str, allowed: Sequence[str]) -> str:
    close = get_close_matches(name, allowed, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _fields(root: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Names, as a user writes them, of the fields of the model at the end of the path."""
    current: Any = root
    for step in path:
        current = _inner(current, step)
    model = _model_in(current)
    if model is None:
        return []
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _inner(annotation: Any, step: str | int) -> Any:
    model = _model_in(annotation, shallow=True)
    if model is not None:
        for name, field in model.model_fields.items():
            if step in (name, field.alias):
                return field.annotation
        return None
    return next((arg for arg in reversed(get_args(annotation)) if _model_in(arg) is not None), None)


def _model_in(annotation: Any, *, shallow: bool = False) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    arguments = get_args(annotation)
    # Only an optional model counts: a dict or tuple of models still needs a key or an index.
    if shallow and type(None) not in arguments:
        return None
    return next((found for arg in arguments if (found := _model_in(arg)) is not None), None)
