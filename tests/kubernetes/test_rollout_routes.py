"""Shares by the weights of an HTTPRoute or a VirtualService that belongs to somebody else."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.kubernetes.kinds import KINDS
from slipway.kubernetes.routes import weights_in
from slipway.rollout.deploy import deploy
from slipway.rollout.preflight import preflight
from slipway.rollout.promote import promote
from slipway.rollout.rollback import rollback
from slipway.rollout.shift import shift
from support.kubernetes.cluster import until
from support.kubernetes.routes import http_route, route_definitions, virtual_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.kubernetes.rollouts import ClusterStack

_ROUTE, _EDGE_TEAM = "edge", "edge-team"
_FIELDS = {"HTTPRoute": ("rules", "backendRefs"), "VirtualService": ("http", "route")}


@pytest.fixture(scope="module", autouse=True)
def _definitions(stack: ClusterStack) -> Iterator[None]:
    with route_definitions(stack.cluster):
        yield


def _objects(stack: ClusterStack) -> Any:
    from kubernetes import client

    return client.CustomObjectsApi(stack.cluster.api)


def _place(kind: str, namespace: str) -> tuple[str, str, str, str]:
    group, version = KINDS[kind].api_version.split("/")
    return group, version, namespace, KINDS[kind].plural


def _without_backends(route: dict[str, Any]) -> dict[str, Any]:
    """What a route says apart from where its first rule leads."""
    spec = copy.deepcopy(route["spec"])
    rules, backends = _FIELDS[route["kind"]]
    del spec[rules][0][backends]
    return dict(spec)


@pytest.mark.parametrize(
    ("routing", "written"), [("gateway", http_route), ("istio", virtual_service)]
)
def test_weights_move_and_come_back_and_leave_what_others_wrote(
    stack: ClusterStack, routing: str, written: Any
) -> None:
    namespace, model = stack.namespace("routes"), f"by_{routing}"
    route = written(_ROUTE, f"by-{routing}")
    kind = route["kind"]
    config = stack.config(
        namespace,
        canary={"routing": routing, "route": _ROUTE, "steps": [{"share": 0.3}, {"share": 0.5}]},
    )
    place = _place(kind, namespace)

    def seen() -> dict[str, Any]:
        found = stack.api.get(kind, namespace, _ROUTE)
        assert found is not None
        return {**found, "kind": kind}

    def weights() -> dict[int, int]:
        return weights_in(seen(), model)

    _objects(stack).create_namespaced_custom_object(*place, route, field_manager=_EDGE_TEAM)
    # As its schema fills it in.
    others = _without_backends(seen())
    stack.make_stable(model, "times1", 1.0, config)
    bad = stack.rollout(model, stack.publish(model, "times2", answers_as=2.0), config, "bad")
    good = stack.rollout(model, stack.publish(model, "times3", answers_as=3.0), config, "good")
    with stack.load(namespace, model) as load:
        preflight(bad)
        deploy(bad)
        assert weights() == {1: 100}
        shift(bad, 0.3)
        assert weights() == {1: 70, 2: 30}
        # Meanwhile the route's owner changes it, and what was not there before is there to stay.
        hosts = "hostnames" if kind == "HTTPRoute" else "hosts"
        names = ["models.example.com", "canary.example.com"]
        change = {"metadata": {"labels": {"team": "edge"}}, "spec": {hosts: names}}
        _objects(stack).patch_namespaced_custom_object(
            *place, _ROUTE, change, field_manager=_EDGE_TEAM
        )
        shift(bad, 0.5)
        assert weights() == {1: 50, 2: 50}
        rollback(bad)
        assert weights() == {1: 100}
        deploy(good)
        shift(good, 0.5)
        # Who applies the route anew as it once was takes the weights away; the next step sets them.
        plain = {"spec": {_FIELDS[kind][0]: route["spec"][_FIELDS[kind][0]]}}
        _objects(stack).patch_namespaced_custom_object(
            *place, _ROUTE, plain, field_manager=_EDGE_TEAM
        )
        assert weights() == {}
        shift(good, 0.5)
        assert weights() == {1: 50, 3: 50}
        promote(good)
        assert weights() == {3: 100}
        until(lambda: load.share_of(3.0, requests=100) == 1, "all requests reach version 3")
        load.until(lambda so_far: so_far.requests > 2000)
    # Nothing routes by the route here: the entry Service leads to stable, whatever the weights.
    assert (load.failures, set(load.factors)) == ([], {1.0, 3.0})
    assert _without_backends(seen()) == {**others, hosts: names}
    assert seen()["metadata"]["labels"] == {"team": "edge"}


def test_a_route_that_is_not_there_or_leads_elsewhere_is_named(stack: ClusterStack) -> None:
    namespace = stack.namespace("nowhere")
    config = stack.config(namespace, canary={"routing": "gateway", "route": _ROUTE})
    rollout = stack.rollout("lost", stack.publish("lost", "times1", answers_as=1.0), config)
    with pytest.raises(TerminalError, match=f"there is no HTTPRoute {_ROUTE}"):
        preflight(rollout)
    elsewhere = http_route(_ROUTE, "somebody-elses")
    _objects(stack).create_namespaced_custom_object(*_place("HTTPRoute", namespace), elsewhere)
    with pytest.raises(TerminalError, match="no rule of the HTTPRoute"):
        preflight(rollout)
    assert stack.api.list("Deployment", namespace) == []
