"""What goes wrong on the way to a bucket, by a schedule that a seed decides."""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from typing import TYPE_CHECKING

from support.gateway import (
    CutAnswer,
    CutRequest,
    Delay,
    Fault,
    amazon_error,
    google_error,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_DELAY_SECONDS = 0.3
_CHANGES_EACH_TIME = re.compile(r"(upload_id|uploadId|rewriteToken)=[^&]*")
ERRORS = {
    "s3": (
        amazon_error(503, "SlowDown"),
        amazon_error(500, "InternalError"),
        amazon_error(503, "ServiceUnavailable"),
        (502, b"<html>Bad Gateway</html>"),
    ),
    "gcs": (
        google_error(429, "rateLimitExceeded"),
        google_error(500, "backendError"),
        google_error(503, "backendError"),
        (502, b"<html>Bad Gateway</html>"),
    ),
}


class Schedule:
    """A gateway's rule. The n-th time that something is asked the same happens to it, whatever the
    threads do meanwhile.

    Args:
        seed: Decides.
        rate: The share of requests to which something happens.
        base: The part of every path that differs from test to test.
        errors: The answers of an overloaded server.
        most: How often the same request is harmed, one that is asked again included; None: always.

    Attributes:
        done: What happened, counted by kind.
    """

    def __init__(
        self, seed: int, rate: float, base: str, errors: Sequence[Fault], *, most: int | None
    ) -> None:
        self.done: Counter[str] = Counter()
        self._seed = seed
        self._rate = rate
        self._base = base
        self._errors = errors
        self._most = most
        self._asked: Counter[str] = Counter()
        self._harmed: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, method: str, path: str) -> Fault | None:
        request = f"{method} {_CHANGES_EACH_TIME.sub('', path.replace(self._base, ''))}"
        with self._lock:
            self._asked[request] += 1
            chance = random.Random(f"{self._seed} {self._asked[request]} {request}")
            if chance.random() >= self._rate or self._harmed[request] == self._most:
                return None
            fault = self._choose(chance)
            self._harmed[request] += 1
            self.done[str(fault[0]) if isinstance(fault, tuple) else type(fault).__name__] += 1
            return fault

    def _choose(self, chance: random.Random) -> Fault:
        size = int(10 ** chance.uniform(0, 6))
        kinds = (
            CutRequest(size),
            CutAnswer(size),
            CutAnswer(),
            Delay(chance.uniform(0, _LONGEST_DELAY_SECONDS)),
            chance.choice(self._errors),
        )
        return chance.choice(kinds)
