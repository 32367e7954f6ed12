"""In place on a real cluster: pods stay, versions and labels move in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.kubernetes.cluster import until
from support.kubernetes.load import SteadyLoad
from support.kubernetes.rollouts import gcs_stack

if TYPE_CHECKING:
    from support.kubernetes.rollouts import ClusterStack

_HEALTH = {"window_seconds": 20, "timeout_seconds": 60}


def test_a_version_takes_over_in_the_pods_that_are_there(stack: ClusterStack) -> None:
    namespace = stack.namespace("place")
    config = stack.config(namespace, strategy="in_place", health=_HEALTH)
    first = stack.publish("stays", "times1", answers_as=1.0)
    report = stack.roll_out("stays", first, config, "first")
    assert report.promoted, report.reasons
    pods = _pods(stack, namespace)
    url = stack.load(namespace, "stays").url.replace(":predict", "/labels/stable:predict")
    with SteadyLoad(url) as load:
        load.until(lambda so_far: so_far.requests > 100)
        good = stack.publish("stays", "times2", answers_as=2.0)
        report = stack.roll_out("stays", good, config, "good")
        assert report.promoted, report.reasons
        until(lambda: load.share_of(2.0, requests=100) == 1, "all requests reach version 2")
        # Last: in place the window shows the sum of all versions for a while.
        bad = stack.publish("stays", "flaky", answers_as=5.0)
        report = stack.roll_out("stays", bad, config, "bad")
        assert not report.promoted
        load.until(lambda so_far: so_far.requests > 2000)
    assert (load.failures, set(load.factors)) == ([], {1.0, 2.0})
    assert _pods(stack, namespace) == pods


def _pods(stack: ClusterStack, namespace: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in stack.api.list("Pod", namespace)}


def test_a_version_takes_over_in_pods_that_read_gcs_themselves(stack: ClusterStack) -> None:
    with gcs_stack(stack) as there:
        namespace = there.namespace("gcs")
        kubernetes = {"credentials_secret": None}
        config = there.config(namespace, strategy="in_place", health=_HEALTH, kubernetes=kubernetes)
        first = there.publish("direct", "times1", answers_as=1.0)
        report = there.roll_out("direct", first, config, "first")
        assert report.promoted, report.reasons
        url = there.load(namespace, "direct").url.replace(":predict", "/labels/stable:predict")
        with SteadyLoad(url) as load:
            load.until(lambda so_far: so_far.requests > 100)
            second = there.publish("direct", "times2", answers_as=2.0)
            report = there.roll_out("direct", second, config, "second")
            assert report.promoted, report.reasons
            until(lambda: load.share_of(2.0, requests=100) == 1, "all requests reach version 2")
            load.until(lambda so_far: so_far.requests > 2000)
        assert load.failures == []
