"""Nothing that Slipway renders has a right that it does not need."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from slipway.kubernetes import manifests
from support.kubernetes_specs import any_served_model, missing_options, served_model
from support.pod_policy import violations

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.spec.model import ModelSpec


def test_every_option_of_a_spec_is_varied():
    assert missing_options() == set()


@settings(deadline=None)
@given(any_served_model())
def test_whatever_the_spec_says_the_policy_holds(spec: ModelSpec):
    assert violations(manifests.render(spec)) == []


def _pod(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return change


def _server(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda pod: change(pod["containers"][0])


def _first(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda pod: change(pod["initContainers"][0])


PLANTED = {
    "may run as root": _pod(lambda pod: pod["securityContext"].pop("runAsNonRoot")),
    "may run as root ": _pod(lambda pod: pod["securityContext"].update(runAsUser=0)),
    "seccomp": _pod(lambda pod: pod["securityContext"].pop("seccompProfile")),
    "hostNetwork": _pod(lambda pod: pod.update(hostNetwork=True)),
    "hostPID": _pod(lambda pod: pod.update(hostPID=True)),
    "volume host is hostPath": _pod(
        lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
    ),
    "a service account's token": _pod(lambda pod: pod.pop("automountServiceAccountToken")),
    "server: its root file system": _server(
        lambda one: one["securityContext"].pop("readOnlyRootFilesystem")
    ),
    "server: privileges may grow": _server(
        lambda one: one["securityContext"].update(allowPrivilegeEscalation=True)
    ),
    "server: is privileged": _server(lambda one: one["securityContext"].update(privileged=True)),
    "server: has capabilities": _server(
        lambda one: one["securityContext"]["capabilities"].update(add=["NET_ADMIN"])
    ),
    "server: runs as root": _server(lambda one: one["securityContext"].update(runAsUser=0)),
    "server: image tensorflow/serving is not pinned": _server(
        lambda one: one.update(image="tensorflow/serving")
    ),
    "server: image a.b:5000/serving:latest is not pinned": _server(
        lambda one: one.update(image="a.b:5000/serving:latest")
    ),
    "server: limits say nothing of memory": _server(
        lambda one: one["resources"]["limits"].pop("memory")
    ),
    "server: requests say nothing of cpu": _server(
        lambda one: one["resources"]["requests"].pop("cpu")
    ),
    "server: no readinessProbe": _server(lambda one: one.pop("readinessProbe")),
    "server: no livenessProbe": _server(lambda one: one.pop("livenessProbe")),
    "server: no startupProbe": _server(lambda one: one.pop("startupProbe")),
    "server: takes port 80 of the node": _server(
        lambda one: one["ports"].append({"containerPort": 80, "hostPort": 80})
    ),
    "sync: AWS_SECRET_ACCESS_KEY stands there in clear": _first(
        lambda one: one.update(env=[{"name": "AWS_SECRET_ACCESS_KEY", "value": "-"}])
    ),
    "sync: has capabilities": _first(lambda one: one["securityContext"].pop("capabilities")),
    "sync: limits say nothing of cpu": _first(lambda one: one.pop("resources")),
}


@pytest.mark.parametrize("expected", PLANTED)
def test_a_planted_violation_is_found(expected: str):
    objects = copy.deepcopy(manifests.render(served_model()))
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    PLANTED[expected](deployment["spec"]["template"]["spec"])
    assert any(expected.strip() in found for found in violations(objects))


def test_a_job_needs_no_probes_and_all_else():
    deployment = copy.deepcopy(
        next(each for each in manifests.render(served_model()) if each["kind"] == "Deployment")
    )
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        del container[probe]
    assert len(violations([deployment])) == 3
    assert violations([{**deployment, "kind": "Job"}]) == []
    container["securityContext"] = {}
    assert violations([{**deployment, "kind": "Job"}])
