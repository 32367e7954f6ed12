"""Steps as Jobs on a cluster: a bucket that pods reach, and requests for small steps."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slipway.contracts import StepRequest
from slipway.kubernetes.client import Cluster as Api
from slipway.kubernetes.jobs import JobProcess
from slipway.spec.execution import JobSpec
from support.kubernetes.forward import forwarded
from support.seaweed import seaweed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slipway.contracts import StepResult
    from support.kubernetes.cluster import Cluster

SECRET = "workspace"


@dataclass
class JobPlace:
    """A namespace with a Secret for a bucket.

    Attributes:
        cluster: Where.
        namespace: Of the Jobs.
        uri: The workspace bucket; a prefix of this namespace's own.
        environment: Of the worker.
        pod_environment: What the spec says about the bucket; no secrets.
    """

    cluster: Cluster
    namespace: str
    uri: str
    environment: dict[str, str]
    pod_environment: dict[str, str]

    def spec(self, **given: Any) -> JobSpec:
        """Where and with what; small."""
        return JobSpec.model_validate(
            {
                "kind": "kubernetes",
                "namespace": self.namespace,
                "image": self.cluster.runtime_image,
                "workspace_secret": SECRET,
                "environment": self.pod_environment,
                "resources": {"cpu": "1", "memory": "2Gi"},
                **given,
            }
        )

    def job(self, request: StepRequest, spec: JobSpec | None = None, **given: Any) -> RunningJob:
        """A step, not started yet."""
        return RunningJob(self, request, spec or self.spec(), given)

    @property
    def api(self) -> Api:
        """As Slipway sees the cluster."""
        return Api.connect(self.environment)

    def pods(self) -> list[dict[str, Any]]:
        """Of every Job that there is."""
        return self.api.list("Pod", self.namespace)

    def jobs(self) -> list[dict[str, Any]]:
        """Every Job that there is."""
        return self.api.list("Job", self.namespace)


@dataclass
class RunningJob:
    """One step as a Job, in a thread if wanted."""

    place: JobPlace
    request: StepRequest
    spec: JobSpec
    given: dict[str, Any]
    lines: list[str] = field(default_factory=list)
    result: StepResult | None = None
    failure: BaseException | None = None
    thread: threading.Thread | None = None
    process: JobProcess | None = None

    def run(self) -> StepResult:
        """To its end, in this thread."""
        self.process = JobProcess(
            self.request,
            self.spec,
            workspace_uri=self.place.uri,
            environment=self.place.environment | self.given.get("environment", {}),
            timeout_seconds=self.given.get("timeout_seconds", 300),
            on_line=self.lines.append,
        )
        return self.process.run()

    def start(self) -> RunningJob:
        """In a thread."""
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def join(self, seconds: float = 120) -> RunningJob:
        """Wait for the thread."""
        assert self.thread is not None
        self.thread.join(seconds)
        assert not self.thread.is_alive()
        return self

    def said(self, text: str) -> bool:
        """Whether a line of the log has the text."""
        return any(text in line for line in self.lines)

    def _run(self) -> None:
        try:
            self.result = self.run()
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            self.failure = error


@contextmanager
def pods_bucket(
    cluster: Cluster, name: str
) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """A bucket on an S3 server; its address, and the environments of a worker and of a pod."""
    with seaweed() as s3, forwarded(cluster.host_address, _port(s3.endpoint_url)) as shown:
        own = s3.credentials.to_environment()
        inside = own | {"AWS_ENDPOINT_URL_S3": f"http://{cluster.host_address}:{shown}"}
        yield s3.create_bucket(name), own, inside


def job_place(
    cluster: Cluster, uri: str, own: dict[str, str], inside: dict[str, str], name: str = "jobs"
) -> JobPlace:
    """A namespace of its own."""
    from kubernetes import client

    namespace = cluster.namespace(name)
    secrets = {key: value for key, value in inside.items() if "KEY" in key}
    open_ones = {key: value for key, value in inside.items() if key not in secrets}
    secret = {"metadata": {"name": SECRET}, "stringData": secrets}
    client.CoreV1Api(cluster.api).create_namespaced_secret(namespace, secret)
    environment = {**own, "SLIPWAY_KUBECONFIG": str(cluster.kubeconfig)}
    return JobPlace(cluster, namespace, f"{uri}/{namespace}", environment, open_ones)


def train_request(folder: Path, code: str, **given: Any) -> StepRequest:
    """A request to train by a definition of that code."""
    folder.mkdir(parents=True, exist_ok=True)
    definition = folder / "tiny.py"
    definition.write_text(code)
    values = {"variant": "original", "config": {"epochs": 1}, "parameters": {"run_id": "r1"}}
    return StepRequest.model_validate(
        {
            "step": "train",
            "model": "tiny",
            "definition": str(definition),
            "workspace": str(folder / "workspace"),
            **values,
            **given,
        }
    )


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
