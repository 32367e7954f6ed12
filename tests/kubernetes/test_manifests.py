"""A real API server takes all that is rendered, and so does the strictest of its standards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.utils import FailToCreateError, create_from_dict

from slipway.kubernetes import manifests
from support.kubernetes_prometheus import prometheus_objects
from support.kubernetes_specs import served_model

if TYPE_CHECKING:
    from support.kubernetes.cluster import Cluster

_EVERYTHING: dict[str, Any] = {
    "service": {"type": "LoadBalancer", "node_port": 31501},
    "image": "tensorflow/serving:2.20.0-gpu",
    "resources": {"cpu": "2", "cpu_request": "500m", "memory": "4Gi", "gpus": 1},
    "autoscaling": {"max_replicas": 4},
    "credentials_secret": "bucket",
    "environment": {"AWS_REGION": "eu-west-1"},
    "node_selector": {"kubernetes.io/os": "linux"},
    "batching": True,
}


def rendered(namespace: str, strategy: str, base_uri: str) -> list[dict[str, Any]]:
    spec = served_model(strategy, base_uri=base_uri, **{**_EVERYTHING, "namespace": namespace})
    return manifests.render(spec, 3)


def check(cluster: Cluster, found: dict[str, Any]) -> None:
    """Has the API server check an object as it checks one to keep; unknown fields are errors."""
    place = {"namespace": found["metadata"]["namespace"]}
    create_from_dict(cluster.api, found, **place, dry_run="All", field_validation="Strict")


@pytest.mark.parametrize("base_uri", ["s3://models", "gs://models"])
@pytest.mark.parametrize("strategy", ["in_place", "canary"])
def test_the_api_server_takes_every_object(cluster: Cluster, strategy: str, base_uri: str) -> None:
    for found in rendered(cluster.namespace("rendered"), strategy, base_uri):
        check(cluster, found)


def test_the_api_server_takes_the_prometheus_of_the_walk(cluster: Cluster) -> None:
    for found in prometheus_objects(cluster.namespace("rendered")):
        check(cluster, found)


def test_a_field_that_it_does_not_know_would_have_been_refused(cluster: Cluster) -> None:
    namespace = cluster.namespace("rendered")
    for found in rendered(namespace, "canary", "s3://models"):
        found["spec" if "spec" in found else "metadata"]["unheardOf"] = True
        with pytest.raises(FailToCreateError, match="unheardOf"):
            check(cluster, found)


@pytest.mark.parametrize("base_uri", ["s3://models", "gs://models"])
@pytest.mark.parametrize("strategy", ["in_place", "canary"])
def test_pods_are_admitted_where_only_restricted_ones_are(
    cluster: Cluster, strategy: str, base_uri: str
) -> None:
    core = client.CoreV1Api(cluster.api)
    namespace = cluster.namespace("restricted")
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    core.patch_namespace(namespace, {"metadata": {"labels": enforced}})
    objects = {each["kind"]: each for each in rendered(namespace, strategy, base_uri)}
    core.create_namespaced_service_account(namespace, objects["ServiceAccount"])
    template = objects["Deployment"]["spec"]["template"]
    pod = {"metadata": {**template["metadata"], "name": "one"}, "spec": template["spec"]}
    core.create_namespaced_pod(namespace, pod, dry_run="All", field_validation="Strict")
    template["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(ApiException, match="violates PodSecurity"):
        core.create_namespaced_pod(namespace, pod, dry_run="All")
