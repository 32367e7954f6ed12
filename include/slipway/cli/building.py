"""Commands that build a model and roll it out, without Airflow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.base import (
    JsonOption,
    SpecArgument,
    WorkspaceOption,
    clear_errors,
    exit_with,
    find_spec,
    print_json,
)
from slipway.console import BuildProgress, console, errors, variants_table
from slipway.errors import TerminalError
from slipway.incoming import INCOMING, digest_of_dropped, incoming_of
from slipway.spec.loader import load_spec
from slipway.spec.plan import plan_build
from slipway.workspace import Workspace, default_workspace

if TYPE_CHECKING:
    from slipway.contracts import StepOutcome
    from slipway.spec.model import ModelSpec

building = typer.Typer()


@building.command()
def run(
    spec: SpecArgument,
    workspace: WorkspaceOption = None,
    force: Annotated[bool, typer.Option(help="Run steps whose result is known.")] = False,
    incoming: Annotated[
        str | None, typer.Option(help="A dropped model: a folder directly below incoming.uri.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the whole build: train, optimise, convert, validate, select, publish."""
    from slipway.build import Build, what_stopped

    with clear_errors(as_json=as_json):
        file = find_spec(spec)
        model = load_spec(file)
        parameters = _of_dropped(model, incoming)
        steps = plan_build(model)
        run_id = f"cli__{datetime.now(UTC):%Y%m%dT%H%M%S}"
        with BuildProgress(len(steps)) as progress:
            folder = workspace or default_workspace()
            build = Build(model, file, steps, folder, run_id, progress, force, parameters)
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


def _of_dropped(spec: ModelSpec, uri: str | None) -> dict[str, Any]:
    """The parameters of a run for a dropped folder, which is read for its digest."""
    if uri is None:
        return {}
    incoming_of(spec, {"uri": uri, "digest": "0" * 64})  # refused before anything is read
    return {INCOMING: {"uri": uri, "digest": digest_of_dropped(uri)}}


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


@building.command()
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


@building.command()
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
