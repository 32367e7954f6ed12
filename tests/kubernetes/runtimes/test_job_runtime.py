"""Jobs keep the contract of every runtime; Airflow's connections say where and as whom."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from contract.runtimes.suite import Place, RuntimeContract
from slipway_airflow.runtimes.kubernetes import KubernetesRuntime
from support.kubernetes.jobs import JobPlace, job_place, pods_bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.spec.model import ModelSpec
    from support.kubernetes.cluster import Cluster


class Jobs:
    """Steps as Jobs of one namespace."""

    def __init__(self, place: JobPlace) -> None:
        self.place = place

    def runtime(self, spec: ModelSpec) -> KubernetesRuntime:
        return KubernetesRuntime(spec, spec.execution.runtimes["jobs"])

    def execution(self) -> dict[str, Any]:
        return {
            "workspace_uri": self.place.uri,
            "runtimes": {"jobs": self.place.spec().model_dump(mode="json")},
            "run": {"train": "jobs"},
        }

    def is_empty(self) -> bool:
        return not self.place.jobs() and not self.place.pods()


class TestJobs(RuntimeContract):
    @pytest.fixture(scope="class")
    def bucket(self, cluster: Cluster) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
        with pods_bucket(cluster, "workspace") as made:
            yield made

    @pytest.fixture
    def place(
        self,
        cluster: Cluster,
        bucket: tuple[str, dict[str, str], dict[str, str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> Place:
        made = job_place(cluster, *bucket)
        own = made.environment
        aws = {
            "conn_type": "aws",
            "login": own["AWS_ACCESS_KEY_ID"],
            "password": own["AWS_SECRET_ACCESS_KEY"],
            "extra": {"endpoint_url": own["AWS_ENDPOINT_URL_S3"], "region_name": "us-east-1"},
        }
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(aws))
        kubernetes = {"conn_type": "kubernetes"}
        extra = {"kube_config_path": str(cluster.kubeconfig)}
        monkeypatch.setenv(
            "AIRFLOW_CONN_KUBERNETES_DEFAULT", json.dumps({**kubernetes, "extra": extra})
        )
        return Jobs(made)
