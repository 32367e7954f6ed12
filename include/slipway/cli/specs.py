"""Commands for whoever writes a spec: check it, see its graph, get its schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import Annotated

import typer

from slipway.cli.base import (
    JsonOption,
    SpecArgument,
    all_specs,
    clear_errors,
    find_spec,
    print_json,
)
from slipway.console import console, errors, plan_tree
from slipway.errors import SlipwayError
from slipway.precheck import static_problems
from slipway.spec.loader import load_spec, spec_schema
from slipway.spec.plan import plan_build, plan_rollout

specs = typer.Typer()


@specs.command()
def validate(
    names: Annotated[list[str] | None, typer.Argument(help="Default: every spec.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check specs: file, line and field of everything that is wrong."""
    found: dict[str, list[str]] = {}
    with clear_errors(as_json=as_json):
        files = [find_spec(name) for name in names] if names else all_specs()
    for file in files:
        name = file.stem if file.suffix == ".yaml" else file.name
        try:
            found[name] = [str(problem) for problem in static_problems(load_spec(file), file)]
        except SlipwayError as error:
            found[name] = error.details.get("problems", [f"{file}: {error.message}"])
    if as_json:
        print_json(found)
    for name, problems in found.items():
        for problem in problems:
            errors.print("[red]wrong[/] ", end="")
            errors.print(problem, highlight=False, markup=False, soft_wrap=True)
        if not problems and not as_json:
            console.print(f"[green]valid[/] {name}")
    if any(found.values()):
        raise typer.Exit(1)


@specs.command()
def plan(spec: SpecArgument, as_json: JsonOption = False) -> None:
    """Show the graph of a model: build and rollout."""
    with clear_errors(as_json=as_json):
        model = load_spec(find_spec(spec))
    graphs = {"build": plan_build(model), "rollout": plan_rollout(model)}
    if as_json:
        print_json(
            {
                name: [{"task_id": s.task_id, "step": s.step, "needs": s.needs} for s in steps]
                for name, steps in graphs.items()
            }
        )
        return
    for name, steps in graphs.items():
        console.print(plan_tree(f"{model.model}__{name}", steps))


@specs.command()
def schema(
    write: Annotated[Path | None, typer.Option(help="Write it to a file.")] = None,
) -> None:
    """Print the JSON Schema of a spec, for editors."""
    text = json.dumps(spec_schema(), indent=2) + "\n"
    if write:
        write.write_text(text, "utf-8")
    else:
        sys.stdout.write(text)
