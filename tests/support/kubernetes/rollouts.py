"""Rollouts on a cluster: a bucket, Prometheus that finds the pods, and versions with faults."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from slipway.kubernetes import names
from slipway.kubernetes.client import Cluster as Api
from slipway.rollout.run import RolloutReport, roll_out
from slipway.rollout.session import Rollout, RolloutConfig, RolloutParameters
from slipway.rollout.target import Target
from slipway.spec.model import ModelSpec
from slipway.spec.rollout import RolloutSpec, ServeSpec
from slipway.storage import open_store
from slipway.storage.google_credentials import EMULATOR
from support.fake_gcs import fake_gcs
from support.kubernetes.forward import forwarded
from support.kubernetes.load import SteadyLoad
from support.kubernetes.pod_prometheus import PodPrometheus
from support.rollouts import in_own_process, point_stable_at, publish_made
from support.seaweed import seaweed
from support.specs import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from slipway.serving.publish import Published
    from slipway.storage import Store
    from support.kubernetes.cluster import Cluster

SECRET = "bucket"
REST_PORT = 8501
_LIST_PODS = ({"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},)
HEALTH: dict[str, Any] = {
    "window_seconds": 20,
    "interval_seconds": 1,
    "consecutive": 2,
    "minimum_requests": 30,
    "timeout_seconds": 60,
    "checks": {
        "error_ratio": {"largest": 0.02},
        # Clients here share their cores with the cluster: between a busy machine and a slow model.
        "latency": [{"percentile": 90, "largest_ms": 300}],
        "load_failures": {"largest": 0},
    },
}


@dataclass
class ClusterStack:
    """A real cluster with a real bucket and a real Prometheus around it."""

    cluster: Cluster
    models: Path
    uri: str
    store: Store
    environment: dict[str, str]
    pod_environment: dict[str, str]
    secrets: dict[str, str]

    @property
    def api(self) -> Api:
        """As Slipway sees the cluster."""
        return Api.connect(self.environment)

    def namespace(self, name: str) -> str:
        """A namespace with the bucket's credentials in it."""
        from kubernetes import client

        made = self.cluster.namespace(name)
        secret = {"metadata": {"name": SECRET}, "stringData": self.secrets}
        client.CoreV1Api(self.cluster.api).create_namespaced_secret(made, secret)
        return made

    def publish(self, model: str, kind: str, *, answers_as: float) -> Published:
        """Publishes one of the models of `support.rollouts.write_models`."""
        return publish_made(self.store, model, self.models / kind, answers_as)

    def config(self, namespace: str, **given: Any) -> RolloutConfig:
        """How to roll out, quickly; `kubernetes`, `probe` and `health` without a promise merge."""
        kubernetes = {
            "namespace": namespace,
            "image": self.cluster.serving_image,
            "sync_image": self.cluster.sync_image,
            "resources": {
                "cpu": "2",
                "cpu_request": "10m",
                "memory": "1Gi",
                "memory_request": "64Mi",
            },
            "credentials_secret": SECRET,
            "environment": self.pod_environment,
            "drain_seconds": 3,
            "available_within_seconds": 120,
            **given.pop("kubernetes", {}),
        }
        probe = {"requests": 40, "rate_per_second": 20.0} | given.pop("probe", {})
        health = given.pop("health", {})
        health = health if "promise" in health else HEALTH | health
        return RolloutConfig(
            base_uri=self.uri,
            serve=ServeSpec.model_validate({"kubernetes": kubernetes}),
            rollout=RolloutSpec.model_validate(
                {"strategy": "canary", "probe": probe, "health": health, **given}
            ),
        )

    def rollout(
        self,
        model: str,
        published: Published,
        config: RolloutConfig,
        run: str = "run",
        **environment: str,
    ) -> Rollout:
        """A rollout of a published version."""
        parameters = RolloutParameters(
            version=published.version, digest=published.digest, rollout_id=run
        )
        target = Target(self.environment | environment)
        return Rollout(model, config, parameters, self.store, target, _told(run))

    def restricted_kubeconfig(
        self, namespace: str, rules: Sequence[dict[str, Any]] = _LIST_PODS
    ) -> Path:
        """Of a service account with these rights in a namespace, and no more."""
        from kubernetes import client

        name = "reader"
        core = client.CoreV1Api(self.cluster.api)
        rights = client.RbacAuthorizationV1Api(self.cluster.api)
        core.create_namespaced_service_account(namespace, {"metadata": {"name": name}})
        role = {"metadata": {"name": name}, "rules": list(rules)}
        rights.create_namespaced_role(namespace, role)
        rights.create_namespaced_role_binding(
            namespace,
            {
                "metadata": {"name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
                "roleRef": {
                    "kind": "Role", "name": name, "apiGroup": "rbac.authorization.k8s.io",
                },
            },
        )  # fmt: skip
        token = core.create_namespaced_service_account_token(name, namespace, {"spec": {}})
        config = yaml.safe_load(self.cluster.kubeconfig.read_text())
        config["users"] = [{"name": name, "user": {"token": token.status.token}}]
        config["contexts"][0]["context"]["user"] = name
        file = self.models.parent / f"{namespace}.kubeconfig"
        file.write_text(json.dumps(config))
        return file

    def roll_out(
        self,
        model: str,
        published: Published,
        config: RolloutConfig,
        run: str = "run",
        retries: int = 0,
    ) -> RolloutReport:
        """A whole rollout, as `slipway rollout` does it."""
        spec = ModelSpec.model_validate(
            {
                "model": model,
                "definition": model,
                "gates": {"metrics": {"accuracy": {"floor": 0.5}}},
                "objective": {"maximise": "accuracy"},
                "publish": {"base_uri": self.uri},
                "serve": config.serve.model_dump(mode="json"),
                "rollout": config.rollout.model_dump(mode="json"),
                "execution": {"retries": retries, "retry_delay_seconds": 1},
            }
        )
        return roll_out(
            spec,
            published.version,
            digest=published.digest,
            rollout_id=run,
            target=Target(self.environment),
            say=_told(run),
        )

    def make_stable(self, model: str, kind: str, factor: float, config: RolloutConfig) -> Published:
        """Publishes a version and makes it stable without further ado."""
        published = self.publish(model, kind, answers_as=factor)
        point_stable_at(self.rollout(model, published, config, "setup"))
        return published

    def load(self, namespace: str, model: str) -> SteadyLoad:
        """Requests to the model through its Service."""
        base = self.cluster.service_url(namespace, names.service(model), REST_PORT)
        return SteadyLoad(f"{base}/v1/models/{model}:predict")


@contextmanager
def cluster_stack(cluster: Cluster, folder: Path) -> Iterator[ClusterStack]:
    """Starts bucket and Prometheus, and writes the models."""
    models = folder / "models"
    in_own_process(
        f"from support.rollouts import write_models; write_models(Path({str(models)!r}))"
    )
    prometheus = PodPrometheus(folder / "prometheus", cluster)
    with seaweed() as s3, prometheus:
        port = int(s3.endpoint_url.rpartition(":")[2])
        with forwarded(cluster.host_address, port) as shown:
            keys = s3.credentials.to_environment()
            secrets = {name: value for name, value in keys.items() if "KEY" in name}
            inside = {name: value for name, value in keys.items() if name not in secrets}
            inside["AWS_ENDPOINT_URL_S3"] = f"http://{cluster.host_address}:{shown}"
            uri = s3.create_bucket("models")
            environment = {
                "SLIPWAY_KUBECONFIG": str(cluster.kubeconfig),
                "SLIPWAY_PROMETHEUS_URL": prometheus.url,
                **keys,
            }
            store = open_store(uri, s3.credentials)
            yield ClusterStack(cluster, models, uri, store, environment, inside, secrets)


def documented_role() -> dict[str, Any]:
    """The Role of docs/rollouts.md."""
    text = (PROJECT / "docs" / "rollouts.md").read_text("utf-8")
    found = re.search(r"```yaml\n(apiVersion: rbac.*?)```", text, re.DOTALL)
    assert found
    role: dict[str, Any] = yaml.safe_load(found.group(1))
    return role


def _told(run: str) -> Callable[[str], None]:
    return lambda line: print(f"{run}: {line}")  # noqa: T201  # shown beside a test that fails


@contextmanager
def gcs_stack(stack: ClusterStack) -> Iterator[ClusterStack]:
    """The same with a bucket on GCS, which takes no credentials."""
    with fake_gcs() as gcs:
        port = int(gcs.endpoint_url.rpartition(":")[2])
        with (
            forwarded(stack.cluster.host_address, port) as shown,
            pytest.MonkeyPatch.context() as patch,
        ):
            emulator = gcs.credentials.to_environment()
            for name, value in emulator.items():
                patch.setenv(name, value)
            uri = gcs.create_bucket("models")
            yield replace(
                stack,
                uri=uri,
                store=open_store(uri, gcs.credentials),
                environment=stack.environment | emulator,
                pod_environment={EMULATOR: f"http://{stack.cluster.host_address}:{shown}"},
            )
