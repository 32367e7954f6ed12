from __future__ import annotations

from typing import Any

from slipway.kubernetes.kinds import KINDS
from slipway.kubernetes.preflight import permissions
from slipway.spec.model import ModelSpec
from support.kubernetes.rollouts import documented_role
from support.rollouts import HEALTH


def _spec(**rollout: Any) -> ModelSpec:
    kubernetes = {"namespace": "models", "autoscaling": {"max_replicas": 3}, "pod_monitor": True}
    return ModelSpec.model_validate(
        {
            "model": "digits",
            "definition": "digits",
            "gates": {"metrics": {"accuracy": {"floor": 0.5}}},
            "objective": {"maximise": "accuracy"},
            "publish": {"base_uri": "s3://models"},
            "serve": {"kubernetes": kubernetes},
            "rollout": {"health": HEALTH, **rollout},
        }
    )


def test_the_role_in_the_documentation_grants_what_rollouts_do_and_no_more() -> None:
    granted = {
        (verb, group, resource)
        for rule in documented_role()["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    specs = (
        _spec(strategy="in_place"),
        _spec(strategy="canary", canary={"routing": "gateway", "route": "digits"}),
        _spec(strategy="canary", canary={"routing": "istio", "route": "digits"}),
    )
    needed = {
        (verb, KINDS[kind].group, "/".join(filter(None, (KINDS[kind].plural, subresource))))
        for spec in specs
        for verb, kind, subresource in permissions(spec)
    }
    assert granted == needed
