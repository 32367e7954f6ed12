"""Watching a canary until its verdict is final, in a loop that blocks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from slipway.errors import TransientError
from slipway.health import Judge, JudgeState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slipway.health import Decision, Look
    from slipway.rollout.prometheus import PrometheusClient
    from slipway.rollout.subject import Subject
    from slipway.spec.health import HealthPolicy


def watch(
    policy: HealthPolicy,
    subject: Subject,
    *,
    prometheus: PrometheusClient,
    probe: Mapping[str, float] | None = None,
    on_look: Callable[[Look], None] = lambda _look: None,
) -> Decision:
    """Look every `policy.interval_seconds` until the verdict is final.

    Args:
        policy: Checks and patience.
        subject: Whom to judge.
        prometheus: What is asked.
        probe: Metrics of the step `probe`.
        on_look: Called after each look, to show progress.

    Raises:
        TerminalError: Prometheus refuses a query.
    """
    judge = Judge(policy, subject, state=JudgeState(started_at=time.time()), probe=probe)
    while True:
        decision = look(judge, prometheus)
        on_look(judge.state.looks[-1])
        if decision is not None:
            return decision
        time.sleep(policy.interval_seconds)


def look(judge: Judge, prometheus: PrometheusClient) -> Decision | None:
    """Take one look now; the decision, once it is final.

    Raises:
        TerminalError: Prometheus refuses a query.
    """
    now = time.time()
    try:
        samples = prometheus.ask(judge.queries(now), at=now)
    except TransientError as error:
        return judge.fail(error.message, now)
    return judge.observe(samples, now)
