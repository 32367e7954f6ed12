"""Weights of traffic in an HTTPRoute of the Gateway API or a VirtualService of Istio."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.kubernetes import names
from slipway.serving.serve_config.plan import REST_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.kubernetes.client import Cluster
    from slipway.spec.model import ModelSpec

KINDS = {"gateway": "HTTPRoute", "istio": "VirtualService"}


def route_of(cluster: Cluster, spec: ModelSpec) -> dict[str, Any] | None:
    """The route that the spec names; None if replicas share the requests.

    Raises:
        TerminalError: There is no such route, or no rule in it leads to the model.
    """
    rollout, kubernetes = spec.rollout, spec.serve.kubernetes
    kind = KINDS.get(rollout.canary.routing)
    name = rollout.canary.route
    if rollout.strategy != "canary" or kind is None or name is None or kubernetes is None:
        return None
    found = cluster.get(kind, kubernetes.namespace, name)
    if found is None:
        raise TerminalError(
            f"there is no {kind} {name} in namespace {kubernetes.namespace}",
            hint=f"make one that leads to the Service {names.service(spec.model)}, or set "
            "rollout.canary.routing to replicas",
            subject=f"{kind}/{name}",
        )
    if not any(_ours(backends, spec.model) for _, backends in _rules(found)):
        raise TerminalError(
            f"no rule of the {kind} {name} leads to the Service {names.service(spec.model)}",
            hint="let one of its rules lead there; Slipway then sets the weights",
            subject=f"{kind}/{name}",
        )
    return {**found, "kind": kind}


def weights_in(route: Mapping[str, Any], model: str) -> dict[int, int]:
    """Weight by version, of the first rule that leads to the model; none if it is still plain."""
    for _, backends in _rules(route):
        if _ours(backends, model):
            weights = {
                _version(_host(each), model): int(each.get("weight", 100)) for each in backends
            }
            return {version: weight for version, weight in weights.items() if version and weight}
    return {}


def with_weights(
    route: Mapping[str, Any], model: str, weights: Mapping[int, int]
) -> dict[str, Any]:
    """The merge patch that gives every rule which leads to the model these weights.

    It carries the resourceVersion, so a route that changed since is not overwritten.
    """
    changed = copy.deepcopy(dict(route))
    for rule, backends in _rules(changed):
        if _ours(backends, model):
            field = "route" if changed["kind"] == "VirtualService" else "backendRefs"
            rule[field] = [
                _backend(changed["kind"], names.version_service(model, version), weight)
                for version, weight in sorted(weights.items())
            ]
    spec = changed["spec"]
    field = "http" if changed["kind"] == "VirtualService" else "rules"
    version = changed["metadata"]["resourceVersion"]
    return {"metadata": {"resourceVersion": version}, "spec": {field: spec[field]}}


def _rules(route: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    spec = route["spec"]
    for rule in spec.get("rules") or ():
        yield rule, rule.get("backendRefs") or []
    for rule in spec.get("http") or ():
        yield rule, rule.get("route") or []


def _backend(kind: str, service: str, weight: int) -> dict[str, Any]:
    if kind == "VirtualService":
        return {"destination": {"host": service, "port": {"number": REST_PORT}}, "weight": weight}
    return {"name": service, "port": REST_PORT, "weight": weight}


def _host(backend: Mapping[str, Any]) -> str:
    host = backend.get("name") or backend.get("destination", {}).get("host", "")
    return str(host).partition(".")[0]


def _ours(backends: list[dict[str, Any]], model: str) -> bool:
    return bool(backends) and all(
        _host(each) == names.service(model) or _version(_host(each), model) for each in backends
    )


def _version(service: str, model: str) -> int:
    number = service.removeprefix(f"{names.service(model)}-v")
    return int(number) if number.isdigit() else 0
