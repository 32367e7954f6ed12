"""The digits build by a real Airflow, its training step as a Job, its worker killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from slipway.content import tree_digest
from slipway.contracts import StepResult
from slipway.local.airflow import AirflowApi
from slipway.local.stack import Stack
from slipway.storage import open_store
from support.kubernetes.cluster import until
from support.kubernetes.forward import forwarded
from support.kubernetes.jobs import JobPlace, job_place
from support.specs import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.kubernetes.cluster import Cluster

pytestmark = pytest.mark.timeout(900)

BUILD = "digits__build"
TRAIN = "original.train_export"
VARIANTS = ("quantized", "lite")
BUCKET = "slipway-models"


@pytest.fixture
def stack(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """S3, Airflow and the rest, with a connection of the cluster; no spec yet."""
    # As it comes, Airflow takes five minutes to be sure that a worker is dead.
    monkeypatch.setenv("AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT", "15")
    monkeypatch.setenv(
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL", "3"
    )
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "2")
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    kubernetes = {"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(config)}}
    dags = tmp_path / "project" / "dags"
    (dags / "models").mkdir(parents=True)
    shutil.copy(PROJECT / "dags" / "model_pipelines.py", dags)
    shutil.copy(PROJECT / "dags" / "models" / "_defaults.yaml", dags / "models")
    (tmp_path / "project" / "include").symlink_to(PROJECT / "include")
    made = Stack(
        tmp_path / "stack", PROJECT, dags=dags, connections={"kubernetes_default": kubernetes}
    )
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture
def place(cluster: Cluster, stack: Stack) -> Iterator[JobPlace]:
    with forwarded(cluster.host_address, stack.addresses.s3) as shown:
        own = stack.credentials.to_environment()
        inside = own | {"AWS_ENDPOINT_URL_S3": f"http://{cluster.host_address}:{shown}"}
        yield job_place(cluster, f"s3://{BUCKET}/workspace", own, inside, "digits")


def digits_with_jobs(place: JobPlace) -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((PROJECT / "dags/models/digits.yaml").read_text())
    spec["variants"] = {name: spec["variants"][name] for name in VARIANTS}
    spec["execution"] = {
        "workspace_uri": place.uri,
        "retry_delay_seconds": 1,
        "runtimes": {"jobs": place.spec().model_dump(mode="json")},
        "run": {"train": "jobs"},
    }
    return spec


def kill_the_worker(stack: Stack) -> None:
    """Ends the one task that runs, and the executor's process that watches it, as a crash would."""
    scheduler = stack.table.find("airflow-scheduler")
    assert scheduler is not None
    children = psutil.Process(scheduler.pid).children()
    workers = [child for child in children if child.children()]
    victims = [one for worker in workers for one in (worker, *worker.children(recursive=True))]
    assert victims
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()


def test_the_digits_build_ends_well_with_its_training_as_a_job_whose_worker_was_killed(
    stack: Stack, place: JobPlace
) -> None:
    file = stack.airflow.dags / "models" / "digits.yaml"
    file.write_text(yaml.safe_dump(digits_with_jobs(place)))
    api = AirflowApi(stack.airflow.url)
    api.wait_for_dag(BUILD)
    run_id = api.trigger(BUILD)

    def running() -> Any:
        assert api.run(BUILD, run_id)["state"] in {"queued", "running"}
        return [one for one in place.pods() if one["status"].get("phase") == "Running"]

    (pod,) = until(running, "the training runs in a pod", 180)
    kill_the_worker(stack)
    seen = {pod["metadata"]["uid"]}

    def done() -> str | None:
        seen.update(one["metadata"]["uid"] for one in place.pods())
        state: str = api.run(BUILD, run_id)["state"]
        return state if state in {"success", "failed"} else None

    state = until(done, "the build ends", 600)
    tasks = {task["task_id"]: task for task in api.tasks(BUILD, run_id)}
    tries = tasks[TRAIN]["try_number"]
    log = api.log(BUILD, run_id, TRAIN, tries)
    assert state == "success", log
    assert tries > 1
    assert "going on with Job digits-original-train-" in log
    assert "examples to train" in log
    assert len(seen) == 1  # trained once

    trained = StepResult.model_validate(api.result(BUILD, run_id, TRAIN))
    assert trained.artifact is not None
    assert tree_digest(trained.artifact.path) == trained.artifact.digest
    published = api.result(BUILD, run_id, "publish")["details"]
    assert published["version"] == 1
    assert open_store(f"s3://{BUCKET}", stack.credentials).list("digits")
    assert not place.jobs()
