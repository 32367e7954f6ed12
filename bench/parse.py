"""How long 1,000 specs take to become DAGs, against dag-factory and against bare operators.

    .venv/bin/python bench/parse.py [--specs 1000] [--rounds 2] [--json out.json]

Each contender has the same tasks and edges, and its own fresh process, so that none is warmed up by
another. The processes take turns, and the best of the rounds counts. Imports are not timed. The
seconds are the process's own, of its one thread, so that whatever else runs does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LARGEST_RATIO_TO_BARE = 2.0
SMALLEST_RATIO_TO_DAG_FACTORY = 3.0
HEAVY = ("tensorflow", "tf_keras", "numpy", "ai_edge_litert", "sklearn")


def slipway(folder: Path) -> dict[str, Any]:
    from slipway_airflow.dag_builder import build_dags

    started = (time.process_time(), time.perf_counter())
    dags = build_dags(folder / "models")
    return _measured(started, dags)


def bare(folder: Path) -> dict[str, Any]:
    from airflow.sdk import DAG, BaseOperator

    class BareOperator(BaseOperator):
        def execute(self, context: Any) -> None:
            """Nothing."""

    graphs = json.loads((folder / "graphs.json").read_text("utf-8"))
    names = [file.stem for file in sorted((folder / "models").glob("model*.yaml"))]
    started = (time.process_time(), time.perf_counter())
    dags = {}
    for name in names:
        for kind, graph in graphs.items():
            dag = DAG(f"{name}__{kind}", schedule=None)
            tasks = {task_id: BareOperator(task_id=task_id, dag=dag) for task_id in graph}
            for task_id, upstream in graph.items():
                tasks[task_id].set_upstream([tasks[other] for other in upstream])
            dags[dag.dag_id] = dag
    return _measured(started, dags)


def dag_factory(folder: Path) -> dict[str, Any]:
    from dagfactory import load_yaml_dags

    found: dict[str, Any] = {}
    started = (time.process_time(), time.perf_counter())
    load_yaml_dags(found, dags_folder=str(folder / "dag_factory"))
    return _measured(started, {key: dag for key, dag in found.items() if hasattr(dag, "task_dict")})


CONTENDERS = {"slipway": slipway, "bare operators": bare, "dag-factory": dag_factory}


def _measured(started: tuple[float, float], dags: dict[str, Any]) -> dict[str, Any]:
    cpu, wall = time.process_time() - started[0], time.perf_counter() - started[1]
    return {
        "seconds": cpu,
        "wall_seconds": wall,
        "dags": len(dags),
        "tasks": sum(len(dag.task_dict) for dag in dags.values()),
        "edges": sum(
            len(task.upstream_task_ids) for dag in dags.values() for task in dag.task_dict.values()
        ),
        "heavy_imports": [name for name in HEAVY if name in sys.modules],
    }


def prepare(folder: Path, specs: int) -> None:
    """The same graphs for all: specs, dag-factory's YAMLs, and task ids with their upstream."""
    from slipway_airflow.dag_builder import build_dags

    source = ROOT / "dags" / "models"
    models, factory = folder / "models", folder / "dag_factory"
    models.mkdir()
    factory.mkdir()
    defaults = (source / "_defaults.yaml").read_text("utf-8")
    text = (source / "digits.yaml").read_text("utf-8")
    (models / "_defaults.yaml").write_text(defaults, "utf-8")
    (models / "model0000.yaml").write_text(text.replace("model: digits", "model: model0000"))
    graphs = {
        dag_id.rpartition("__")[2]: {
            task_id: sorted(task.upstream_task_ids) for task_id, task in dag.task_dict.items()
        }
        for dag_id, dag in build_dags(models).items()
    }
    (folder / "graphs.json").write_text(json.dumps(graphs), "utf-8")
    for number in range(specs):
        name = f"model{number:04}"
        (models / f"{name}.yaml").write_text(text.replace("model: digits", f"model: {name}"))
        (factory / f"{name}.yaml").write_text(_factory_yaml(name, graphs), "utf-8")


def _factory_yaml(name: str, graphs: dict[str, dict[str, list[str]]]) -> str:
    import yaml

    operator = "airflow.providers.standard.operators.empty.EmptyOperator"
    dags = {
        f"{name}__{kind}": {
            "default_args": {"owner": "bench", "start_date": "2025-01-01"},
            "schedule": None,
            "tasks": [
                {"task_id": task_id, "operator": operator, "dependencies": upstream}
                for task_id, upstream in graph.items()
            ],
        }
        for kind, graph in graphs.items()
    }
    return yaml.safe_dump(dags, sort_keys=False)


def run(folder: Path, contender: str, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--contender", contender, "--folder", str(folder)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=folder
    )
    if done.returncode:
        sys.exit(f"{contender} failed:\n{done.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def compare(specs: int, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        folder = Path(name)
        environment = _environment(folder)
        os.environ.update(environment)
        sys.path.insert(0, str(ROOT / "plugins"))
        prepare(folder, specs)
        best: dict[str, dict[str, Any]] = {}
        for _ in range(rounds):
            for contender in CONTENDERS:
                measured = run(folder, contender, environment)
                if contender not in best or measured["seconds"] < best[contender]["seconds"]:
                    best[contender] = measured
    own = best["slipway"]
    seconds = {name: measured["seconds"] for name, measured in best.items()}
    ratios = {
        "to_bare": round(own["seconds"] / seconds["bare operators"], 3),
        "dag_factory_to_slipway": round(seconds["dag-factory"] / own["seconds"], 3),
    }
    same = len({(each["dags"], each["tasks"], each["edges"]) for each in best.values()}) == 1
    return {
        "specs": specs,
        "rounds": rounds,
        "contenders": best,
        "ratios": ratios,
        "held": same
        and not own["heavy_imports"]
        and ratios["to_bare"] <= LARGEST_RATIO_TO_BARE
        and ratios["dag_factory_to_slipway"] >= SMALLEST_RATIO_TO_DAG_FACTORY,
    }


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PYTHONPATH": os.pathsep.join((str(ROOT / "plugins"), str(ROOT / "include"))),
    }


def table(found: dict[str, Any]) -> str:
    lines = [f"{'':16}{'seconds':>9}{'wall':>9}{'DAGs':>7}{'tasks':>8}{'edges':>8}"]
    lines += [
        f"{name:16}{each['seconds']:9.2f}{each['wall_seconds']:9.2f}{each['dags']:7}{each['tasks']:8}{each['edges']:8}"
        for name, each in found["contenders"].items()
    ]
    ratios = found["ratios"]
    lines += [
        "",
        (
            f"against bare operators: {ratios['to_bare']:.2f} times as long "
            f"(at most {LARGEST_RATIO_TO_BARE:g})"
        ),
        (
            f"against dag-factory: {ratios['dag_factory_to_slipway']:.1f} times faster "
            f"(at least {SMALLEST_RATIO_TO_DAG_FACTORY:g})"
        ),
        f"heavy imports: {', '.join(found['contenders']['slipway']['heavy_imports']) or 'none'}",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(CONTENDERS[options.contender](options.folder)))
        return 0
    found = compare(options.specs, options.rounds)
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), "utf-8")
    return 0 if found["held"] else 1


if __name__ == "__main__":
    sys.exit(main())
