"""The definitions of HTTPRoute and VirtualService, as their projects release them.

No controller comes with them: what a route says is real and checked by its schema, and nothing
routes by it.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from support.kubernetes.cluster import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.kubernetes.cluster import Cluster

_PINNED = Path(__file__).parents[2] / "kubernetes" / "routes"
_FILES = {
    "httproutes.gateway.networking.k8s.io": (
        "sigs.k8s.io/gateway-api",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    ),
    "virtualservices.networking.istio.io": (
        "istio.io/api",
        "kubernetes/customresourcedefinitions.gen.yaml",
    ),
}


@contextmanager
def route_definitions(cluster: Cluster) -> Iterator[None]:
    """Both kinds are there; those that the cluster did not have are taken away again."""
    from kubernetes import client
    from kubernetes.client.exceptions import ApiException

    definitions = client.ApiextensionsV1Api(cluster.api)
    known = {each.metadata.name for each in definitions.list_custom_resource_definition().items}
    made = [name for name in _FILES if name not in known]
    try:
        for name in made:
            definitions.create_custom_resource_definition(_definition(name))
        for name in _FILES:
            until(lambda name=name: _is_served(definitions, name), f"{name} is served")
        yield
    finally:
        for name in made:
            try:
                definitions.delete_custom_resource_definition(name)
            except ApiException as error:
                if error.status != 404:
                    raise


def _is_served(definitions: Any, name: str) -> bool:
    found = definitions.read_custom_resource_definition(name)
    conditions = found.status.conditions or []
    return any(one.type == "Established" and one.status == "True" for one in conditions)


@lru_cache
def _definition(name: str) -> dict[str, Any]:
    module, file = _FILES[name]
    documents = yaml.load_all((_module(module) / file).read_text(), yaml.CSafeLoader)
    return next(each for each in documents if each["metadata"]["name"] == name)


def _module(name: str) -> Path:
    """Where a module that go.mod pins lies."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", name],
        cwd=_PINNED,
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(json.loads(done.stdout)["Dir"])


def http_route(name: str, service: str) -> dict[str, Any]:
    """A route of somebody's, one rule of which leads to a Service."""
    model = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}],
        "filters": [
            {
                "type": "RequestHeaderModifier",
                "requestHeaderModifier": {"set": [{"name": "x-team", "value": "edge"}]},
            }
        ],
        "backendRefs": [{"name": service, "port": 8501}],
    }
    other = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/docs"}}],
        "backendRefs": [{"name": "docs", "port": 80, "weight": 1}],
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {
            "parentRefs": [{"name": "edge"}],
            "hostnames": ["models.example.com"],
            "rules": [model, other],
        },
    }


def virtual_service(name: str, service: str) -> dict[str, Any]:
    """The same for Istio."""
    model = {
        "match": [{"uri": {"prefix": "/v1"}}],
        "headers": {"request": {"set": {"x-team": "edge"}}},
        "route": [{"destination": {"host": service, "port": {"number": 8501}}}],
    }
    other = {
        "match": [{"uri": {"prefix": "/docs"}}],
        "route": [{"destination": {"host": "docs", "port": {"number": 80}}}],
    }
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {
            "hosts": ["models.example.com"],
            "gateways": ["edge"],
            "http": [model, other],
        },
    }
