"""Requests at a fixed rate, and what became of them."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.rollout.endpoint import Endpoint

# A canary that hangs must not take all of the server's threads from stable.
_MOST_IN_FLIGHT = 8


@dataclass(frozen=True)
class Reply:
    """What became of one request.

    Attributes:
        index: Of its body.
        seconds: From sending to the whole answer, or to giving up.
        answer: The JSON of a prediction; None if there was none.
        problem: Why there was none, as the server or the network put it.
        refused: Whether nothing listened.
    """

    index: int
    seconds: float
    answer: Any = None
    problem: str = ""
    refused: bool = False


def send(
    endpoint: Endpoint,
    path: str,
    bodies: Sequence[dict[str, Any]],
    *,
    requests: int,
    rate_per_second: float,
    timeout_seconds: float,
) -> list[Reply]:
    """Post bodies in turn, at a rate that does not wait for answers.

    At most 8 are under way at once; a server that is slower than that lowers the rate.

    Args:
        endpoint: Of the server.
        path: Of the :predict call.
        bodies: At least one.
        requests: How many to send in all.
        rate_per_second: How many to begin a second.
        timeout_seconds: Time limit of each.

    Returns:
        One reply a request, in the order of sending.
    """
    return asyncio.run(_send(endpoint, path, bodies, requests, rate_per_second, timeout_seconds))


def quantile(values: Sequence[float], percentile: float) -> float:
    """The nearest-rank quantile: the smallest value that `percentile` % do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percentile / 100 * len(ordered)) - 1)]


async def _send(
    endpoint: Endpoint,
    path: str,
    bodies: Sequence[dict[str, Any]],
    requests: int,
    rate: float,
    limit_seconds: float,
) -> list[Reply]:
    slots = asyncio.Semaphore(_MOST_IN_FLIGHT)
    started = time.perf_counter()
    url = f"{endpoint.url}{path}"
    async with endpoint.async_client(limit_seconds) as client:

        async def one(number: int) -> Reply:
            try:
                index = number % len(bodies)
                return await _ask(client, url, index, bodies[index])
            finally:
                slots.release()

        tasks = []
        for number in range(requests):
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
            await slots.acquire()
            tasks.append(asyncio.create_task(one(number)))
        return list(await asyncio.gather(*tasks))


async def _ask(client: httpx.AsyncClient, url: str, index: int, body: dict[str, Any]) -> Reply:
    started = time.perf_counter()
    try:
        reply = await client.post(url, json=body)
        answer = reply.json() if reply.is_success else None
        problem = "" if reply.is_success else f"HTTP {reply.status_code}: {reply.text[:500]}"
        refused = False
    except httpx.HTTPError as error:
        answer, problem = None, f"{type(error).__name__}: {error}".rstrip(": ")
        refused = isinstance(error, httpx.ConnectError)
    except ValueError as error:
        answer, problem, refused = None, f"the answer is no JSON: {error}", False
    return Reply(index, time.perf_counter() - started, answer, problem, refused)
