"""The command that says beforehand what of a spec cannot work."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from slipway.cli.base import JsonOption, all_specs, clear_errors, find_spec, print_json
from slipway.console import console
from slipway.doctor import diagnose, gather
from slipway.requests import definition_module
from slipway.spec.loader import load_spec

if TYPE_CHECKING:
    from slipway.doctor import Finding
    from slipway.spec.model import ModelSpec

diagnosing = typer.Typer()


@diagnosing.command()
def doctor(
    names: Annotated[list[str] | None, typer.Argument(help="Default: every spec.")] = None,
    bucket: Annotated[
        bool, typer.Option("--bucket", help="Look at what is published already, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say in seconds what of a spec cannot work with what there is, why, and what to do.

    The exit status is 1 if a build would be refused; what costs no more than a variant leaves it 0.
    """
    found: dict[str, list[Finding]] = {}
    with clear_errors(as_json=as_json):
        for file in [find_spec(name) for name in names] if names else all_specs():
            spec = load_spec(file)
            found[spec.model] = diagnose(
                gather(spec, definition_module(spec, file), _folders(spec) if bucket else ())
            )
    if as_json:
        print_json({model: [asdict(one) for one in each] for model, each in found.items()})
    else:
        for model, findings in found.items():
            _show(model, findings)
    if any(one.blocks for findings in found.values() for one in findings):
        raise typer.Exit(1)


def _folders(spec: ModelSpec) -> list[str]:
    from slipway.storage import open_store

    return list(open_store(spec.publish.base_uri).list_folders(spec.model))


def _show(model: str, findings: list[Finding]) -> None:
    if not findings:
        console.print(f"[green]well[/] {model}")
        return
    table = Table(title=model, title_justify="left", show_lines=True)
    for head in ("", "variant", "what cannot work, and why", "what to do"):
        table.add_column(head, overflow="fold")
    for one in findings:
        mark = "[red]blocks[/]" if one.blocks else "[yellow]warning[/]"
        table.add_row(mark, one.variant or "-", f"{one.message} ({one.entry})", one.hint)
    console.print(table)
