"""What all commands share: how a model is named, how errors and JSON are shown."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.errors import SlipwayError, TerminalError

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = Path("dags/models")

SpecArgument = Annotated[str, typer.Argument(help="A model's name in dags/models, or a YAML file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
WorkspaceOption = Annotated[
    Path | None, typer.Option(help="Where artifacts are kept; default: $SLIPWAY_WORKSPACE.")
]

USAGE_ERROR = 2
_EXIT = {"terminal": 1, "transient": 75}  # 75 is EX_TEMPFAIL of sysexits.h: try again


@contextmanager
def clear_errors(*, as_json: bool = False) -> Iterator[None]:
    """Turn an error of Slipway's into one message and an exit status."""
    try:
        yield
    except SlipwayError as error:
        if as_json:
            from slipway.contracts import StepFailure

            print_json({"error": StepFailure.of(error).model_dump(mode="json")})
        raise exit_with(error) from None


def exit_with(error: SlipwayError) -> typer.Exit:
    """Show an error; what to raise then."""
    from slipway.console import errors

    errors.print(f"[red]{error.kind} error[/]: ", end="")
    errors.print(error.message, highlight=False, markup=False, soft_wrap=True)
    errors.print(f"  -> {error.hint}", highlight=False, markup=False, soft_wrap=True)
    return typer.Exit(_EXIT[error.kind])


def print_json(value: Any) -> None:
    """Print JSON on standard output, and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def find_spec(name: str, instead: str = "the path of a YAML file") -> Path:
    """The spec file for a model's name or a path.

    Args:
        name: Of the model, or a YAML file.
        instead: What else may be given, for the hint.

    Raises:
        TerminalError: if there is none, with the names that there are.
    """
    from slipway.spec.loader import spec_files

    given = Path(name)
    file = given if given.suffix == ".yaml" else MODELS / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(path.stem for path in spec_files(MODELS)) or "none"
        raise TerminalError(
            f"there is no spec {file}; models in {MODELS}: {known}",
            hint=f"give one of these names, or {instead}",
            subject=name,
        )
    return file.resolve()


def all_specs() -> list[Path]:
    """Every spec of the project.

    Raises:
        TerminalError: There is none.
    """
    from slipway.spec.loader import spec_files

    found = spec_files(MODELS)
    if not found:
        raise TerminalError(
            f"there is no spec in {MODELS}",
            hint="run this where dags/ is, or name a YAML file",
            subject=str(MODELS),
        )
    return found
