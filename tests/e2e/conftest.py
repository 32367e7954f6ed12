"""One real stack for the whole tier: S3, GCS, SQS, Prometheus, the model server, Airflow."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from slipway.local.airflow import AirflowApi
from slipway.local.stack import Stack
from support.fake_gcs import GcsServer, fake_gcs
from support.house import House
from support.moto_sqs import sqs_server
from support.specs import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's own, in a folder to which a test may add a spec."""
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(PROJECT / "dags", project / "dags")
    (project / "include").symlink_to(PROJECT / "include")  # specs look there for definitions
    return project / "dags"


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory, dags: Path) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patched:
        # Left alone, Airflow takes five minutes to be sure that a task died with its scheduler.
        patched.setenv("AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT", "60")
        with _house(tmp_path_factory, dags) as found:
            yield found


@contextmanager
def _house(tmp_path_factory: pytest.TempPathFactory, dags: Path) -> Iterator[House]:
    with fake_gcs() as gcs, sqs_server(tmp_path_factory.mktemp("sqs")) as sqs:
        gcs.create_bucket("slipway-models")
        stack = Stack(
            tmp_path_factory.mktemp("stack"),
            PROJECT,
            dags=dags,
            connections={
                "google_cloud_default": google_connection(gcs),
                "sqs_default": sqs.connection,
            },
            environment=gcs.credentials.to_environment(),
        )
        try:
            stack.up()
            api = AirflowApi(stack.airflow.url)
            for model in ("breast_cancer", "diabetes", "digits"):
                api.wait_for_dag(f"{model}__build")
                api.wait_for_dag(f"{model}__rollout")
            yield House(stack, api, gcs, dags / "models", sqs)
        finally:
            stack.down()


def google_connection(server: GcsServer) -> dict[str, Any]:
    extra = {"is_anonymous": True, "endpoint_url": server.endpoint_url}
    return {"conn_type": "google_cloud_platform", "extra": extra}
