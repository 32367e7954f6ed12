"""Asking Prometheus without ever blocking an event loop: the one way for worker and triggerer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from slipway.errors import TransientError
from slipway_airflow.hooks.connections import async_prometheus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.health import Decision, Judge

_TIMEOUT_SECONDS = 10.0


async def look(judge: Judge, connection_id: str) -> Decision | None:
    """Take one look now; the decision, once it is final.

    Args:
        judge: Knows the queries, and remembers the look.
        connection_id: Airflow connection of Prometheus.

    Raises:
        TerminalError: Prometheus refuses a query, or there is no such connection.
    """
    now = time.time()
    try:
        samples = await _ask(judge.queries(now), connection_id, now)
    except TransientError as error:
        return judge.fail(error.message, now)
    return judge.observe(samples, now)


async def _ask(
    queries: Mapping[str, str], connection_id: str, at: float
) -> dict[str, float | None]:
    # Every worker imports this module to parse; only a gate that looks needs these.
    import httpx

    from slipway.rollout.prometheus import read_answer

    url, login = await async_prometheus(connection_id)
    samples: dict[str, float | None] = {}
    async with httpx.AsyncClient(auth=login, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        for name, promql in queries.items():
            form = {"query": promql, "time": f"{at:.3f}"}
            try:
                reply = await client.post(f"{url}/api/v1/query", data=form)
                answer = reply.json()
            except (httpx.HTTPError, ValueError) as error:
                raise TransientError(
                    f"Prometheus at {url} could not be asked: {type(error).__name__}: {error}",
                    hint="check that it runs and that the connection names its address",
                    subject=connection_id,
                ) from None
            samples[name] = read_answer(answer, promql)
    return samples
