"""The command line: everything that Slipway does, without Airflow, from the same spec."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway import cli_sync
from slipway.console import BuildProgress, console, errors, plan_tree, variants_table
from slipway.errors import SlipwayError, TerminalError
from slipway.spec.loader import load_spec, spec_files, spec_schema
from slipway.spec.plan import plan_build, plan_rollout
from slipway.workspace import Workspace, default_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.contracts import StepOutcome
    from slipway.spec.model import ModelSpec

app = typer.Typer(
    help="From TensorFlow training to healthy serving, declared in one YAML per model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

MODELS = Path("dags/models")

SpecArgument = Annotated[str, typer.Argument(help="A model's name in dags/models, or a YAML file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
WorkspaceOption = Annotated[
    Path | None, typer.Option(help="Where artifacts are kept; default: $SLIPWAY_WORKSPACE.")
]

USAGE_ERROR = 2
_EXIT = {"terminal": 1, "transient": 75}  # 75 is EX_TEMPFAIL of sysexits.h: try again


@contextmanager
def _clear_errors(*, as_json: bool = False) -> Iterator[None]:
    """Turn an error of Slipway's into one message and an exit status."""
    try:
        yield
    except SlipwayError as error:
        if as_json:
            print_json({"error": {"kind": error.kind, "message": error.message}})
        errors.print(f"[red]{error.kind} error[/]: {error.message}", highlight=False)
        errors.print(f"  -> {error.hint}", highlight=False)
        raise typer.Exit(_EXIT[error.kind]) from None


def print_json(value: Any) -> None:
    """Print JSON on standard output, and nothing else."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def find_spec(name: str) -> Path:
    """The spec file for a model's name or a path.

    Raises:
        TerminalError: if there is none, with the names that there are.
    """
    given = Path(name)
    file = given if given.suffix == ".yaml" else MODELS / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(path.stem for path in spec_files(MODELS)) or "none"
        raise TerminalError(
            f"there is no spec {file}; models in {MODELS}: {known}",
            hint="give one of these names, or the path of a YAML file",
            subject=name,
        )
    return file.resolve()


@app.command()
def validate(
    specs: Annotated[list[str] | None, typer.Argument(help="Default: every spec.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check specs: file, line and field of everything that is wrong."""
    found: dict[str, list[str]] = {}
    with _clear_errors(as_json=as_json):
        files = [find_spec(name) for name in specs or []] or spec_files(MODELS)
    for file in files:
        try:
            load_spec(file)
        except SlipwayError as error:
            found[file.stem] = error.details.get("problems", [error.message])
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
    with _clear_errors(as_json=as_json):
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
    from slipway.build import Build

    with _clear_errors(as_json=as_json):
        file = find_spec(spec)
        model = load_spec(file)
        steps = plan_build(model)
        run_id = f"cli__{datetime.now(UTC):%Y%m%dT%H%M%S}"
        with BuildProgress(len(steps)) as progress:
            folder = workspace or default_workspace()
            outcomes = Build(model, file, steps, folder, run_id, progress, force).run()
        _show_build(outcomes, as_json=as_json)


def _show_build(outcomes: dict[str, StepOutcome], *, as_json: bool) -> None:
    shown = {task: outcome.model_dump(mode="json") for task, outcome in outcomes.items()}
    if as_json:
        print_json(shown)
    select = outcomes.get("select")
    if select and select.result and not as_json:
        details = select.result.details
        console.print(variants_table(details["rows"]))
        console.print(f"report: {details['report']}", soft_wrap=True)
    last = outcomes.get("publish") or select
    if last is None or last.failure:
        failed = [outcome for outcome in outcomes.values() if outcome.failure]
        failed[-1].unwrap()
    if last and last.result and not as_json:
        details = last.result.details
        state = "was published before" if details["already_published"] else "is published"
        console.print(f"version {details['version']} {state}: {details['uri']}", soft_wrap=True)


@app.command()
def report(
    spec: SpecArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False
) -> None:
    """Show the last report of a model: the table, and where report.html is."""
    with _clear_errors(as_json=as_json):
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
def versions(spec: SpecArgument, as_json: JsonOption = False) -> None:
    """List the published versions of a model, with sizes, digests and channels."""
    from rich.table import Table

    with _clear_errors(as_json=as_json):
        rows = _published(load_spec(find_spec(spec)))
    if as_json:
        print_json(rows)
        return
    table = Table("version", "channels", "variant", "size kB", "digest", "state")
    for row in rows:
        size = f"{row['size_bytes'] / 1000:.1f}"
        channels = ", ".join(row["channels"])
        digest = row["digest"].removeprefix("sha256:")[:12]
        table.add_row(str(row["version"]), channels, row["variant"], size, digest, row["state"])
    console.print(table)


def _published(model: ModelSpec) -> list[dict[str, Any]]:
    from slipway.serving.catalog import list_versions
    from slipway.storage import open_store

    found = list_versions(open_store(model.publish.base_uri), model.model)
    return [version.model_dump(mode="json") for version in found]


@app.command()
def rollout(
    spec: SpecArgument,
    version: Annotated[int, typer.Option(min=1, help="A published version.")],
    allow_older: Annotated[bool, typer.Option(help="May replace a newer stable version.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Roll out a published version: canary, probes, health gate, then promote or roll back."""
    from slipway.rollout.run import roll_out

    with _clear_errors(as_json=as_json):
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

    with _clear_errors():
        raise typer.Exit(serve_main(context.args))


cli_sync.register(app)


def main() -> None:
    """The entry point."""
    app()


if __name__ == "__main__":
    main()
