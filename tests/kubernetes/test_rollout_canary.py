"""A canary on a real cluster, from the first rollout on, under steady load."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.rollout.deploy import deploy
from slipway.rollout.preflight import preflight
from slipway.rollout.shift import shift
from support.kubernetes.cluster import until

if TYPE_CHECKING:
    from support.kubernetes.rollouts import ClusterStack

_REQUESTS = 2000
_STEPS = {"canary": {"steps": [{"share": 0.3}, {"share": 0.5}]}}
_NO_METRICS = {
    "timeout_seconds": 10,
    "checks": {"promql": [{"name": "absent", "query": "sum(no_such_metric)", "largest": 1}]},
}


def _versions(stack: ClusterStack, namespace: str) -> list[str]:
    found = stack.api.list("Deployment", namespace)
    return sorted(each["metadata"]["name"] for each in found)


def test_a_first_rollout_gets_its_service_when_it_is_promoted(stack: ClusterStack) -> None:
    namespace = stack.namespace("first")
    published = stack.publish("first_model", "times1", answers_as=1.0)
    config = stack.config(namespace, **_STEPS)
    rollout = stack.rollout("first_model", published, config)
    preflight(rollout)
    deploy(rollout)
    assert stack.api.get("Service", namespace, "first-model") is None
    report = stack.roll_out("first_model", published, config)
    assert report.promoted, report.reasons
    with stack.load(namespace, "first_model") as load:
        load.until(lambda so_far: so_far.requests > _REQUESTS)
    assert (load.failures, set(load.factors)) == ([], {1.0})


def test_a_canary_takes_over_share_by_share_and_no_request_fails(stack: ClusterStack) -> None:
    namespace = stack.namespace("canary")
    config = stack.config(namespace, **_STEPS)
    stack.make_stable("grows", "times1", 1.0, config)
    published = stack.publish("grows", "times2", answers_as=2.0)
    with stack.load(namespace, "grows") as load:
        load.until(lambda so_far: so_far.requests > 200)
        rollout = stack.rollout("grows", published, config)
        deploy(rollout)
        assert load.share_of(2.0) == 0
        shift(rollout, 0.3)
        # Kept connections make few, correlated draws of this.
        assert load.share_of(2.0, requests=600) == pytest.approx(1 / 3, abs=0.2)
        report = stack.roll_out("grows", published, config)
        assert report.promoted, report.reasons
        # A connection that is kept stays with the old pod until it drains.
        until(lambda: load.share_of(2.0, requests=100) == 1, "all requests reach version 2")
        load.until(lambda so_far: so_far.requests > _REQUESTS)
    assert load.failures == []
    assert _versions(stack, namespace) == ["grows-v2"]


@pytest.mark.parametrize(
    ("kind", "answers_as", "changes", "reason"),
    [
        ("flaky", 5.0, {}, "error_ratio"),
        ("slower", 5.0, {}, "latency"),
        ("times3", 2.0, {}, "does not answer as it did"),
        ("times2", 2.0, {"health": _NO_METRICS}, "no such series"),
    ],
)
def test_a_bad_canary_is_withdrawn_and_stable_never_fails(
    stack: ClusterStack, kind: str, answers_as: float, changes: dict[str, Any], reason: str
) -> None:
    namespace = stack.namespace("bad")
    model = f"bad_{kind}"
    config = stack.config(namespace, **_STEPS, **changes)
    stack.make_stable(model, "times1", 1.0, config)
    published = stack.publish(model, kind, answers_as=answers_as)
    with stack.load(namespace, model) as load:
        report = stack.roll_out(model, published, config)
        load.until(lambda so_far: so_far.requests > _REQUESTS)
    assert not report.promoted
    assert reason in " ".join(report.reasons)
    # At share 0 it was found: no request of a client ever reached it.
    assert (load.failures, set(load.factors)) == ([], {1.0})
    assert _versions(stack, namespace) == [f"bad-{kind}-v1"]
