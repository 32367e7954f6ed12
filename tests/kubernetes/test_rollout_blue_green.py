"""Blue-green: all requests at once, and back at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.rollout.deploy import deploy
from slipway.rollout.rollback import rollback
from slipway.rollout.shift import shift
from support.kubernetes.cluster import until

if TYPE_CHECKING:
    from support.kubernetes.rollouts import ClusterStack


def test_all_requests_go_over_and_come_back_and_go_over_for_good(stack: ClusterStack) -> None:
    namespace = stack.namespace("green")
    config = stack.config(namespace, strategy="blue_green")
    stack.make_stable("green", "times1", 1.0, config)
    bad = stack.rollout("green", stack.publish("green", "times2", answers_as=2.0), config)
    good = stack.publish("green", "times3", answers_as=3.0)

    def names() -> list[str]:
        found = stack.api.list("Deployment", namespace)
        return sorted(each["metadata"]["name"] for each in found)

    with stack.load(namespace, "green") as load:
        deploy(bad)
        assert load.share_of(1.0) == 1
        shift(bad, 1.0)
        until(lambda: load.share_of(2.0, requests=100) == 1, "all requests reach version 2")
        assert names() == ["green-v1", "green-v2"]
        rollback(bad)
        until(lambda: load.share_of(1.0, requests=100) == 1, "all requests are back")
        report = stack.roll_out("green", good, config)
        assert report.promoted, report.reasons
        until(lambda: load.share_of(3.0, requests=100) == 1, "all requests reach version 3")
        load.until(lambda so_far: so_far.requests > 2000)
    assert load.failures == []
    assert names() == ["green-v3"]
