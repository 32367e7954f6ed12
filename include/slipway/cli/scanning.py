"""Command that reads a SavedModel of unknown origin without loading it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import Annotated

import typer

from slipway.cli.base import JsonOption, clear_errors, print_json
from slipway.console import console, errors

scanning = typer.Typer()


@scanning.command()
def scan(
    folder: Annotated[Path, typer.Argument(help="Folder of a SavedModel.")],
    allow: Annotated[
        list[str] | None, typer.Option(help="Operation that may be in it; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read a SavedModel without loading it; exits 1 if its graph could do harm."""
    # TensorFlow greets with warnings on standard error, which are not about this folder.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    from slipway.modelling.untrusted import scan as read

    with clear_errors(as_json=as_json):
        allowed = set(allow or ())
        found = [one for one in read(folder) if one.operation not in allowed]
    if as_json:
        print_json({"folder": str(folder), "findings": [asdict(one) for one in found]})
    for one in found:
        errors.print("[red]refused[/] ", end="")
        errors.print(str(one), highlight=False, markup=False, soft_wrap=True)
    if found:
        raise typer.Exit(1)
    if not as_json:
        console.print(f"[green]nothing found[/] in {folder}", soft_wrap=True)
