"""Every task leads to what it worked on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway_airflow.dag_builder import build_dags
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG


def links(dag: DAG) -> dict[str, set[str]]:
    """Names of the links by task; `stable` does nothing and leads nowhere."""
    return {
        task.task_id: {link.name for link in task.operator_extra_links}
        for task in dag.tasks
        if task.task_id != "stable"
    }


def test_every_task_leads_to_the_bucket(tmp_path: Path) -> None:
    write_spec(tmp_path, "one")
    dags = build_dags(tmp_path)
    for kind in ("build", "rollout", "rollback", "adopt"):
        found = links(dags[f"one__{kind}"])
        assert [task for task, names in found.items() if "Bucket" not in names] == []


def test_every_task_of_a_rollout_leads_to_version_evidence_and_kubernetes(tmp_path: Path) -> None:
    write_spec(tmp_path, "one")
    found = links(build_dags(tmp_path)["one__rollout"])
    missing = {task: {"Version", "Evidence", "Kubernetes"} - names for task, names in found.items()}
    assert {task: names for task, names in missing.items() if names and task != "gc"} == {}
    assert "Prometheus" in found["health"]
