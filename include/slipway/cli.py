"""The command line: everything that Slipway does, without Airflow, from the same spec."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway import cli_sync
from slipway.cli_base import (
    MODELS,
    JsonOption,
    SpecArgument,
    WorkspaceOption,
    clear_errors,
    exit_with,
    find_spec,
    print_json,
)
from slipway.cli_serving import serving
from slipway.cli_upkeep import upkeep
from slipway.console import BuildProgress, console, errors, plan_tree, variants_table
from slipway.errors import SlipwayError, TerminalError
from slipway.requests import definition_module
from slipway.spec.loader import load_spec, spec_files, spec_schema
from slipway.spec.plan import plan_build, plan_rollout
from slipway.workspace import Workspace, default_workspace

if TYPE_CHECKING:
    from slipway.contracts import StepOutcome

app = typer.Typer(
    help="From TensorFlow training to healthy serving, declared in one YAML per model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(upkeep)
app.add_typer(serving)


@app.command()
def validate(
    specs: Annotated[list[str] | None, typer.Argument(help="Default: every spec.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check specs: file, line and field of everything that is wrong."""
    found: dict[str, list[str]] = {}
    with clear_errors(as_json=as_json):
        files = [find_spec(name) for name in specs or []] or spec_files(MODELS)
    for file in files:
        try:
            definition_module(load_spec(file), file)
        except SlipwayError as error:
            found[file.stem] = error.details.get("problems", [f"{file}: {error.message}"])
        else:
            found[file.stem] = []
    if as_json:
        print_json(found)
    for name, problems in found.items():
        for problem in problems:
            errors.print(f"[red]wrong[/] {problem}", highlight=False, soft_wrap=True)
        if not problems and not as_json:
            console.print(f"[green]valid[/] {name}")
    if any(found.values()):
        raise typer.Exit(1)


@app.command()
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


@app.command()
def schema(
    write: Annotated[Path | None, typer.Option(help="Write it to a file.")] = None,
) -> None:
    """Print the JSON Schema of a spec, for editors."""
    text = json.dumps(spec_schema(), indent=2) + "\n"
    if write:
        write.write_text(text, "utf-8")
    else:
        sys.stdout.write(text)


@app.command()
def run(
    spec: SpecArgument,
    workspace: WorkspaceOption = None,
    force: Annotated[bool, typer.Option(help="Run steps whose result is known.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run the whole build: train, optimise, convert, validate, select, publish."""
    from slipway.build import Build, what_stopped

    with clear_errors(as_json=as_json):
        file = find_spec(spec)
        model = load_spec(file)
        steps = plan_build(model)
        run_id = f"cli__{datetime.now(UTC):%Y%m%dT%H%M%S}"
        with BuildProgress(len(steps)) as progress:
            folder = workspace or default_workspace()
            build = Build(model, file, steps, folder, run_id, progress, force)
            outcomes = build.run()
    failure = what_stopped(steps, outcomes)
    if as_json:
        shown = {task: outcome.model_dump(mode="json") for task, outcome in outcomes.items()}
        error = failure.model_dump(mode="json") if failure else None
        print_json({"outcomes": shown, "error": error, "logs": str(build.logs)})
    else:
        _show_build(outcomes)
    if failure:
        errors.print(f"logs: {build.logs}", soft_wrap=True, highlight=False)
        raise exit_with(failure.error())


def _show_build(outcomes: dict[str, StepOutcome]) -> None:
    for name in ("select", "publish"):
        outcome = outcomes.get(name)
        details = _details(outcome) if outcome else {}
        if "rows" in details:
            console.print(variants_table(details["rows"]))
            console.print(f"report: {details['report']}", soft_wrap=True)
        if "version" in details:
            state = "was published before" if details["already_published"] else "is published"
            text = f"version {details['version']} {state}: {details['uri']}"
            console.print(text, soft_wrap=True)


def _details(outcome: StepOutcome) -> dict[str, Any]:
    """What a step reports, of a selection that failed too: its report is kept."""
    left = outcome.result or outcome.failure
    return left.details if left else {}


@app.command()
def report(
    spec: SpecArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Show the last report of a model: the table, and where report.html is."""
    with clear_errors(as_json=as_json):
        model = load_spec(find_spec(spec)).model
        space = Workspace(workspace or default_workspace())
        found = space.latest(model, "select")
        if found is None:
            raise TerminalError(
                f"there is no report of {model} in {space.root}",
                hint=f"run `slipway run {model}`, or give --workspace",
                subject=model,
            )
        details = found.details
    if as_json:
        print_json(details)
    else:
        console.print(variants_table(details["rows"]))
        console.print(f"report: {details['report']}", soft_wrap=True)


@app.command()
def rollout(
    spec: SpecArgument,
    version: Annotated[int, typer.Option(min=1, help="A published version.")],
    allow_older: Annotated[bool, typer.Option(help="May replace a newer stable version.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Roll out a published version: canary, probes, health gate, then promote or roll back."""
    from slipway.rollout.run import roll_out

    with clear_errors(as_json=as_json):
        model = load_spec(find_spec(spec))
        ended = roll_out(model, version, allow_older=allow_older, say=errors.print)
    if as_json:
        print_json(ended.model_dump(mode="json"))
    else:
        state = "[green]is stable[/]" if ended.promoted else "[red]was rolled back[/]"
        console.print(f"{ended.model} {ended.version} {state}", highlight=False)
        for reason in ended.reasons:
            console.print(f"  {reason}", highlight=False, soft_wrap=True)
        console.print(f"evidence: {ended.evidence}", soft_wrap=True)
    if not ended.promoted:
        raise typer.Exit(1)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def serve(context: typer.Context) -> None:
    """Run the local model server; it takes the flags of tensorflow_model_server."""
    from slipway.serving.server.__main__ import main as serve_main

    with clear_errors():
        raise typer.Exit(serve_main(context.args))


cli_sync.register(app)


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
