"""Rollouts that are killed at every write, and rollouts that race."""

from __future__ import annotations

import re
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from slipway.kubernetes.client import Cluster
from slipway.rollout.deploy import deploy
from slipway.rollout.promote import promote
from slipway.rollout.rollback import rollback
from slipway.rollout.shift import shift
from support.kubernetes.cluster import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.rollout.session import Rollout
    from support.kubernetes.rollouts import ClusterStack

_STEPS = {"canary": {"steps": [{"share": 0.5}]}}


class _KilledError(BaseException):
    """As SIGKILL: no handler of the code under test takes it for an error."""


def _dying(send: Callable[..., Any], writes: int, *, after: bool) -> Callable[..., Any]:
    left = writes

    def one(self: Cluster, method: str, path: str, **given: Any) -> Any:
        nonlocal left
        left -= method != "GET"
        if left < 0 and not after:
            raise _KilledError
        answer = send(self, method, path, **given)
        if left < 0:
            raise _KilledError
        return answer

    return one


def _killed_everywhere(
    step: Callable[[Rollout], Any], rollout: Rollout, patch: pytest.MonkeyPatch
) -> int:
    """Runs a step again and again, killed one write later each time, before or after it."""
    send = Cluster._send
    kills = 0
    for writes in range(40):
        for after in (False, True):
            with patch.context() as dying:
                dying.setattr(Cluster, "_send", _dying(send, writes, after=after))
                try:
                    step(rollout)
                except _KilledError:
                    kills += 1
                else:
                    return kills
    pytest.fail("never finished")


def test_a_step_that_is_killed_at_any_write_is_finished_by_the_next_call(
    stack: ClusterStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = stack.namespace("kills")
    config = stack.config(namespace, **_STEPS)
    stack.make_stable("killed", "times1", 1.0, config)
    with stack.load(namespace, "killed") as load:
        bad = stack.rollout("killed", stack.publish("killed", "times2", answers_as=2.0), config)
        good = stack.publish("killed", "times3", answers_as=3.0)
        kills = [_killed_everywhere(deploy, bad, monkeypatch)]
        kills += [_killed_everywhere(partial(shift, share=0.5), bad, monkeypatch)]
        kills += [_killed_everywhere(rollback, bad, monkeypatch)]
        rollout = stack.rollout("killed", good, config, "second")
        for step in (deploy, partial(shift, share=0.5), promote):
            kills += [_killed_everywhere(step, rollout, monkeypatch)]
        until(lambda: load.share_of(3.0, requests=100) == 1, "all requests reach version 3")
        load.until(lambda so_far: so_far.requests > 2000)
    assert all(kills), kills
    assert load.failures == []
    found = [each["metadata"]["name"] for each in stack.api.list("Deployment", namespace)]
    assert found == ["killed-v3"]


def test_of_two_rollouts_that_race_the_newer_one_ends_up_serving(stack: ClusterStack) -> None:
    namespace = stack.namespace("race")
    config = stack.config(namespace, **_STEPS)
    stack.make_stable("raced", "times1", 1.0, config)
    versions = [
        stack.publish("raced", kind, answers_as=factor)
        for kind, factor in (("times2", 2.0), ("times3", 3.0))
    ]
    reports: dict[int, Any] = {}

    def run(number: int) -> None:
        published = versions[number]
        try:
            reports[number] = stack.roll_out("raced", published, config, f"run{number}")
        except Exception as error:  # noqa: BLE001  # whatever it was is looked at below
            reports[number] = error

    with stack.load(namespace, "raced") as load:
        racers = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert getattr(reports[1], "promoted", False), reports
        # The older one was overtaken somewhere on its way, or had been promoted before.
        older = reports[0]
        words = " ".join(getattr(older, "reasons", ())) or str(older)
        overtaken = re.search("newer|older|not the canary", words)
        assert overtaken or getattr(older, "promoted", False), older
        until(lambda: load.share_of(3.0, requests=100) == 1, "all requests reach version 3")
        load.until(lambda so_far: so_far.requests > 2000)
    assert load.failures == []
    found = [each["metadata"]["name"] for each in stack.api.list("Deployment", namespace)]
    assert found == ["raced-v3"]
