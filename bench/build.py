"""How long the build DAG takes in a real Airflow, against `slipway run` of the same spec.

    .venv/bin/python bench/build.py [--model digits] [--rounds 1] [--json out.json]

Both build from nothing, in turns, with the same servers running. The clock runs from the trigger to
the end of the run, and from the start of the command to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from slipway.local.airflow import AirflowApi
from slipway.local.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
LARGEST_RATIO = 1.5
_LIMIT_SECONDS = 900.0


def by_airflow(stack: Stack, api: AirflowApi, model: str) -> float:
    _forget(stack)
    started = time.monotonic()
    run_id = api.trigger(f"{model}__build")
    state = api.wait(f"{model}__build", run_id, within_seconds=_LIMIT_SECONDS)
    seconds = time.monotonic() - started
    if state != "success":
        sys.exit(f"the build DAG ended as {state}: {run_id}")
    return seconds


def by_command(stack: Stack, model: str) -> float:
    _forget(stack)
    command = [str(Path(sys.executable).with_name("slipway")), "run", model, "--json"]
    started = time.monotonic()
    done = subprocess.run(
        command,
        env={**os.environ, **stack.environment()},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"slipway run failed:\n{done.stderr[-3000:]}")
    return time.monotonic() - started


def _forget(stack: Stack) -> None:
    shutil.rmtree(stack.workspace, ignore_errors=True)


def compare(model: str, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        stack = Stack(Path(name), ROOT)
        try:
            stack.up()
            api = AirflowApi(stack.airflow.url)
            api.wait_for_dag(f"{model}__build")
            pairs = [
                (by_command(stack, model), by_airflow(stack, api, model)) for _ in range(rounds)
            ]
        finally:
            stack.down()
    ratio = statistics.median(airflow / command for command, airflow in pairs)
    return {
        "model": model,
        "slipway_run_seconds": [round(command, 1) for command, _ in pairs],
        "build_dag_seconds": [round(airflow, 1) for _, airflow in pairs],
        "ratio": round(ratio, 3),
        "held": ratio <= LARGEST_RATIO,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="digits")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args()
    found = compare(options.model, options.rounds)
    print(f"slipway run {found['slipway_run_seconds']} s, build DAG {found['build_dag_seconds']} s")
    print(f"the DAG takes {found['ratio']:.2f} times as long (at most {LARGEST_RATIO:g})")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), "utf-8")
    return 0 if found["held"] else 1


if __name__ == "__main__":
    sys.exit(main())
