"""What Slipway renders is what the three newest Kubernetes know, field by field."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from slipway.kubernetes import manifests
from slipway.rollout.config_file import Serving
from support.kubernetes_schemas import FOLDER, MINORS, problems_of
from support.kubernetes_schemas.reduce import reduced
from support.kubernetes_specs import any_served_model, served_model

if TYPE_CHECKING:
    from slipway.spec.model import ModelSpec


@settings(deadline=None)
@given(any_served_model())
def test_everything_rendered_is_strictly_valid(spec: ModelSpec):
    objects = manifests.render(spec, 7)
    for minor in MINORS:
        assert [problem for each in objects for problem in problems_of(each, minor)] == []


@pytest.mark.parametrize("minor", MINORS)
def test_a_rollouts_intermediate_objects_are_valid_too(minor: str):
    spec = served_model("in_place")
    objects = [
        *manifests.version_objects(served_model(), 3, "ab" * 32, replicas=1),
        *manifests.in_place_objects(spec, Serving()),
        *manifests.in_place_objects(spec, Serving(frozenset({1, 2}), {"stable": 1, "canary": 2})),
    ]
    assert [problem for each in objects for problem in problems_of(each, minor)] == []


@pytest.mark.parametrize("minor", MINORS)
def test_the_kept_schemas_are_of_that_minor_and_say_whence(minor: str):
    kept = json.loads((FOLDER / f"{minor}.json").read_text("utf-8"))
    assert f"k8s.io/kubernetes@{minor}." in kept["source"]
    assert kept["sum"].startswith("h1:")


def _planted(change: str) -> dict[str, Any]:
    objects = copy.deepcopy(manifests.render(served_model(pod_monitor=True)))
    found = {each["kind"]: each for each in objects}
    deployment = found["Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    match change:
        case "an unknown field":
            pod["containers"][0]["readynessProbe"] = pod["containers"][0].pop("readinessProbe")
        case "a number where text belongs":
            deployment["metadata"]["labels"]["slipway.dev/version"] = 1
        case "text where a number belongs":
            deployment["spec"]["replicas"] = "2"
        case "a missing selector":
            del deployment["spec"]["selector"]
        case "an API version that is gone":
            deployment["apiVersion"] = "extensions/v1beta1"
        case "a field of another kind in a PodMonitor":
            monitor = found["PodMonitor"]
            monitor["spec"]["endpoints"] = monitor["spec"].pop("podMetricsEndpoints")
            return monitor
    return deployment


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize(
    "change",
    [
        "an unknown field",
        "a number where text belongs",
        "text where a number belongs",
        "a missing selector",
        "an API version that is gone",
        "a field of another kind in a PodMonitor",
    ],
)
def test_a_planted_mistake_is_found(change: str, minor: str):
    assert problems_of(_planted(change), minor)


def test_a_reduced_schema_refuses_what_the_full_one_would_let_pass():
    pod = {
        "type": "object",
        "description": "A pod.",
        "properties": {"spec": {"$ref": "#/definitions/Spec"}, "apiVersion": {"type": "string"}},
        "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "ConfigMap"}],
    }
    spec = {"properties": {"ports": {"items": {"format": "int-or-string", "type": "string"}}}}
    made = reduced({"Pod": pod, "Spec": spec, "Unused": {}})
    assert made["kinds"] == {"v1/ConfigMap": "Pod"}
    assert set(made["definitions"]) == {"Pod", "Spec"}
    assert made["definitions"]["Pod"]["required"] == ["apiVersion", "kind", "metadata"]
    assert made["definitions"]["Spec"] == {
        "properties": {"ports": {"items": {"type": ["integer", "string"]}}},
        "additionalProperties": False,
    }
