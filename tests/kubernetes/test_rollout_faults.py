"""What goes wrong on a cluster is named, withdrawn, and never reaches a client of stable."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.rollout.deploy import deploy
from slipway.rollout.preflight import preflight
from slipway.rollout.rollback import rollback

if TYPE_CHECKING:
    from support.kubernetes.rollouts import ClusterStack

_WITHIN_SECONDS = 60
_SMALL = {
    "resources": {"cpu": "1", "cpu_request": "10m", "memory": "60Mi", "memory_request": "9Mi"}
}
_FAULTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "image": ("times2", {"image": "slipway.test/no-such-image:1"}, "cannot be pulled"),
    "memory": ("times2", _SMALL, "more memory|status 137"),
    "load": ("broken", {}, "could not load"),
    "init": ("times2", {"credentials_secret": "wrong"}, "container .* ended with status"),
}


def _write_broken_model(stack: ClusterStack) -> None:
    folder = stack.models / "broken"
    folder.mkdir(exist_ok=True)
    (folder / "saved_model.pb").write_bytes(b"this is no SavedModel")


def test_pods_that_never_become_ready_are_explained_and_withdrawn(stack: ClusterStack) -> None:
    from kubernetes import client

    namespace, model = stack.namespace("faults"), "faulty"
    wrong = dict.fromkeys(stack.secrets, "wrong")
    secret = {"metadata": {"name": "wrong"}, "stringData": wrong}
    client.CoreV1Api(stack.cluster.api).create_namespaced_secret(namespace, secret)
    _write_broken_model(stack)
    stack.make_stable(model, "times1", 1.0, stack.config(namespace))
    with stack.load(namespace, model) as load:
        for fault, (kind, kubernetes, message) in _FAULTS.items():
            limits = {"available_within_seconds": _WITHIN_SECONDS, **kubernetes}
            config = stack.config(namespace, kubernetes=limits)
            published = stack.publish(model, kind, answers_as=2.0)
            rollout = stack.rollout(model, published, config, fault)
            began = time.monotonic()
            with pytest.raises(TerminalError, match=message) as caught:
                deploy(rollout)
            assert time.monotonic() - began < _WITHIN_SECONDS + 15
            assert caught.value.hint
            rollback(rollout)
            names = [each["metadata"]["name"] for each in stack.api.list("Deployment", namespace)]
            assert names == ["faulty-v1"], fault
        load.until(lambda so_far: so_far.requests > 2000)
    assert (load.failures, set(load.factors)) == ([], {1.0})


def test_preflight_names_all_that_is_missing_and_touches_nothing(stack: ClusterStack) -> None:
    namespace = stack.namespace("missing")
    published = stack.publish("refused", "times1", answers_as=1.0)

    def refused(**kubernetes: Any) -> str:
        config = stack.config(namespace, kubernetes=kubernetes)
        with pytest.raises(TerminalError) as caught:
            preflight(stack.rollout("refused", published, config))
        return caught.value.message

    assert "there is no namespace nowhere" in refused(namespace="nowhere")
    assert "there is no secret absent" in refused(credentials_secret="absent")
    assert stack.api.list("Deployment", namespace) == []


def test_a_service_of_somebody_else_is_left_alone(stack: ClusterStack) -> None:
    from kubernetes import client

    namespace = stack.namespace("foreign")
    core = client.CoreV1Api(stack.cluster.api)
    spec = {"ports": [{"port": 8501}], "selector": {"app": "theirs"}}
    core.create_namespaced_service(namespace, {"metadata": {"name": "theirs"}, "spec": spec})
    published = stack.publish("theirs", "times1", answers_as=1.0)
    rollout = stack.rollout("theirs", published, stack.config(namespace))
    for step in (preflight, deploy):
        with pytest.raises(TerminalError, match="is not Slipway's"):
            step(rollout)
    found = stack.api.get("Service", namespace, "theirs")
    assert found is not None
    assert found["spec"]["selector"] == {"app": "theirs"}
    assert stack.api.list("Deployment", namespace) == []


def test_every_right_that_is_missing_is_named(stack: ClusterStack) -> None:
    namespace = stack.namespace("rights")
    kubeconfig = stack.restricted_kubeconfig(namespace)
    published = stack.publish("forbidden", "times1", answers_as=1.0)
    rollout = stack.rollout(
        "forbidden", published, stack.config(namespace), SLIPWAY_KUBECONFIG=str(kubeconfig)
    )
    with pytest.raises(TerminalError) as caught:
        preflight(rollout)
    assert "may not create deployments.apps" in caught.value.message
    assert "may not list pods" not in caught.value.message


def test_a_cluster_that_is_not_there_is_named(stack: ClusterStack) -> None:
    published = stack.publish("nowhere", "times1", answers_as=1.0)
    config = stack.config("anywhere")
    rollout = stack.rollout("nowhere", published, config, SLIPWAY_KUBECONFIG="/no/such/file")
    with pytest.raises(TerminalError, match="kubeconfig /no/such/file cannot be used"):
        preflight(rollout)
