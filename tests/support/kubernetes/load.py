"""Steady requests to a Service, and what became of each."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable

_BODY = {"instances": [[1.0, 1.0]]}


@dataclass
class SteadyLoad:
    """Clients that never stop asking; every other one keeps its connection for a while.

    Attributes:
        url: Of the :predict call, at the Service.
        clients: How many ask, one request at a time each.
        pause_seconds: Between two requests of one client.
        kept_seconds: For how long a connection is kept: less than pods drain.
        factors: How many answers came of which version, told by what it multiplies by.
        spans: When the first and the last of them came, Unix time in seconds.
        failures: Every request that got no prediction.
    """

    url: str
    clients: int = 8
    pause_seconds: float = 0.05
    kept_seconds: float = 1.0
    factors: Counter[float] = field(default_factory=Counter)
    spans: dict[float, tuple[float, float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask_all()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def requests(self) -> int:
        """How many were sent."""
        return self.factors.total() + len(self.failures)

    def until(self, condition: Callable[[Self], bool], seconds: float = 240) -> None:
        """Waits for a condition of what has come so far."""
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < deadline, (self.factors, self.failures[-3:])
            time.sleep(0.05)

    def share_of(self, factor: float, requests: int = 300) -> float:
        """The share of one version in the answers to the next so many requests."""
        before, began = self.factors.copy(), self.factors.total()
        self.until(lambda load: load.factors.total() >= began + requests)
        after = self.factors - before
        return after[factor] / after.total()

    async def _ask_all(self) -> None:
        await asyncio.gather(*(self._ask(kept=bool(i % 2)) for i in range(self.clients)))

    async def _ask(self, *, kept: bool) -> None:
        while not self._over.is_set():
            async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
                since = time.monotonic()
                while not self._over.is_set():
                    await self._one(client)
                    await asyncio.sleep(self.pause_seconds)
                    if not kept or time.monotonic() - since > self.kept_seconds:
                        break

    async def _one(self, client: httpx.AsyncClient) -> None:
        try:
            reply = await client.post(self.url, json=_BODY)
            reply.raise_for_status()
            factor, now = reply.json()["predictions"][0][0], time.time()
            self.factors[factor] += 1
            self.spans[factor] = (self.spans.get(factor, (now, now))[0], now)
        except (httpx.HTTPError, KeyError, ValueError) as error:
            text = error.response.text if isinstance(error, httpx.HTTPStatusError) else ""
            self.failures.append(f"{time.time():.2f} {error!r} {text[:200]}")
