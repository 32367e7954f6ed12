"""The main job on this machine: python -m slipway.local.demo up|env|down."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from rich.table import Table

from slipway.console import console, variants_table
from slipway.definition import load_definition
from slipway.errors import SlipwayError, TransientError
from slipway.local.airflow import AirflowApi
from slipway.local.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROJECT = Path(__file__).resolve().parents[3]
FOLDER = PROJECT / ".slipway" / "demo"
MODEL = "digits"
_BUILD_SECONDS = 900.0
_ROLLOUT_SECONDS = 300.0
_ROLLOUT_APPEARS_SECONDS = 60.0
_EXAMPLES = 3
_MARKS = {
    "success": "[green]done[/]",
    "failed": "[red]failed[/]",
    "skipped": "[dim]skipped[/]",
    "upstream_failed": "[dim]left out[/]",
}


def up(model: str) -> int:
    """Start everything, build and roll out one model, and show how it went.

    Returns:
        Exit status: 0 if the model is served and proven.
    """
    began = time.monotonic()
    stack = Stack(FOLDER, PROJECT, say=lambda text: console.print(f"starting {text}"))
    stack.up()
    api = AirflowApi(stack.airflow.url)
    for dag_id in (f"{model}__build", f"{model}__rollout"):
        api.wait_for_dag(dag_id)
    before = {run["dag_run_id"] for run in api.runs(f"{model}__rollout")}
    build_id = api.trigger(f"{model}__build")
    build = follow(api, f"{model}__build", build_id, _BUILD_SECONDS)
    _show_variants(api, f"{model}__build", build_id)
    if build != "success":
        console.print(f"[red]the build failed[/]; look at {stack.airflow.url}")
        return 1
    published = api.result(f"{model}__build", build_id, "publish")["details"]
    rollout_id = _new_run(api, f"{model}__rollout", before)
    rollout = follow(api, f"{model}__rollout", rollout_id, _ROLLOUT_SECONDS)
    _show_end(stack, api, model, published, rollout_id)
    console.print(f"took {time.monotonic() - began:.0f} s; `make down` ends everything")
    return 0 if rollout == "success" and _ask(stack, model) else 1


def down() -> int:
    """End every process of the demo; what it published stays for the next time."""
    ended = Stack(FOLDER, PROJECT).down() if FOLDER.is_dir() else []
    console.print(f"ended {', '.join(ended)}" if ended else "nothing was running")
    return 0


def env() -> int:
    """Print what a shell needs to use the demo's servers with the command line."""
    for name, value in Stack(FOLDER, PROJECT).environment().items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    return 0


def follow(api: AirflowApi, dag_id: str, run_id: str, within_seconds: float) -> str:
    """Show a run task by task until it ends; its state."""
    console.rule(f"{dag_id}  {run_id}", style="dim")
    shown: set[str] = set()
    deadline = time.monotonic() + within_seconds
    with console.status("waiting for the scheduler") as status:
        while time.monotonic() < deadline:
            state: str = api.run(dag_id, run_id)["state"]
            tasks = api.tasks(dag_id, run_id)
            for task in sorted(tasks, key=_when_it_ended):
                if task["state"] in _MARKS and task["task_id"] not in shown:
                    shown.add(task["task_id"])
                    _show_task(task, len(shown), len(tasks))
            running = [t["task_id"] for t in tasks if t["state"] in {"running", "deferred"}]
            status.update(f"running: {', '.join(running) or 'the scheduler'}")
            if state in {"success", "failed"}:
                return state
            time.sleep(0.5)
    raise TransientError(
        f"{dag_id} is still running after {within_seconds:g} s",
        hint="look at the run in the UI; `make demo` follows a new one",
        subject=run_id,
    )


def _when_it_ended(task: dict[str, Any]) -> tuple[bool, str]:
    return task["end_date"] is None, task["end_date"] or ""


def _show_task(task: dict[str, Any], count: int, total: int) -> None:
    seconds = task["duration"] or 0.0
    line = f"[dim]{count:>2}/{total}  {seconds:6.1f} s[/]  {_MARKS[task['state']]}"
    console.print(f"{line}  {task['task_id']}", highlight=False)


def _show_variants(api: AirflowApi, dag_id: str, run_id: str) -> None:
    try:
        details = api.result(dag_id, run_id, "select")["details"]
    except SlipwayError:
        return
    console.print(variants_table(details["rows"]))
    console.print(f"report: {details['report']}", soft_wrap=True)


def _new_run(api: AirflowApi, dag_id: str, before: set[str]) -> str:
    deadline = time.monotonic() + _ROLLOUT_APPEARS_SECONDS
    while time.monotonic() < deadline:
        for run in api.runs(dag_id):
            if run["dag_run_id"] not in before:
                found: str = run["dag_run_id"]
                return found
        time.sleep(0.5)
    raise TransientError(
        f"the asset event started no run of {dag_id}",
        hint="look at the scheduler's log",
        subject=dag_id,
    )


def _show_end(
    stack: Stack, api: AirflowApi, model: str, published: dict[str, Any], rollout_id: str
) -> None:
    table = Table.grid(padding=(0, 2))
    news = "nothing new to publish: " if published["already_published"] else ""
    table.add_row("version", f"{news}{published['version']}  {published['digest'][:19]}")
    table.add_row("bucket", published["uri"])
    table.add_row("health", _health(api, model, rollout_id))
    table.add_row("Airflow", stack.airflow.url)
    table.add_row("model server", f"{stack.model_server_url}/v1/models/{model}")
    table.add_row("Prometheus", stack.prometheus_url)
    console.rule(style="dim")
    console.print(table, soft_wrap=True, highlight=False)


def _health(api: AirflowApi, model: str, rollout_id: str) -> str:
    states = {t["task_id"]: t["state"] for t in api.tasks(f"{model}__rollout", rollout_id)}
    if states.get("health") == "skipped":
        return "this version is stable already: proven before"
    try:
        details = api.result(f"{model}__rollout", rollout_id, "health")["details"]
    except SlipwayError:
        return "[red]not proven[/]"
    return f"[green]{details['decision']['verdict']}[/]"


def _ask(stack: Stack, model: str) -> bool:
    """Ask the served model for a few examples over REST, and show its answers."""
    with _silent_libraries():
        examples = load_definition(PROJECT / f"include/models/{model}.py").load_data("test")
    few = examples.take(_EXAMPLES)
    rows = [
        {name: values[index].tolist() for name, values in few.inputs.items()}
        for index in range(len(few))
    ]
    url = f"{stack.model_server_url}/v1/models/{model}/labels/stable:predict"
    response = httpx.post(url, json={"instances": rows}, timeout=30)
    if response.is_error:
        console.print(f"[red]{url} answered {response.status_code}[/]: {response.text}")
        return False
    answers = [max(range(len(p)), key=p.__getitem__) for p in response.json()["predictions"]]
    labels = [int(label) for label in few.labels]
    console.print(f"POST {url}\n  answers {answers}, labels {labels}", soft_wrap=True)
    return answers == labels


@contextmanager
def _silent_libraries() -> Iterator[None]:
    """TensorFlow greets on the file descriptor of standard error whatever it is told."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m slipway.local.demo", description=__doc__)
    parser.add_argument("action", choices=["up", "env", "down"])
    parser.add_argument("--model", default=MODEL, help="a model of dags/models")
    options = parser.parse_args(arguments)
    try:
        actions = {"up": lambda: up(options.model), "env": env, "down": down}
        return actions[options.action]()
    except SlipwayError as error:
        console.print(f"[red]{error.kind} error[/]: {error.message}\n  -> {error.hint}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
