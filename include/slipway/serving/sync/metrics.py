"""What the follower counts, in Prometheus' text format."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Literal, get_args

FailureKind = Literal[
    "store",  # the bucket does not answer, or refuses
    "manifest",  # damaged, or it belongs to another version
    "newer_schema",
    "corrupt",  # an object is not what its manifest says
    "disk_full",
    "disk",
    "foreign",  # a folder of the number is there that is not the follower's
    "server",  # the model server does not say what it uses
    "ledger",  # damaged
]


class Metrics:
    """Counters and gauges of one follower; every name begins with ``slipway_sync_``.

    Attributes:
        last_success: Unix time of the last poll after which everything wanted was in place; 0
            before the first.
        last_tick: Monotonic time of the last sign of life.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: Counter[str] = Counter(dict.fromkeys(get_args(FailureKind), 0))
        self._sums: Counter[str] = Counter(
            {
                "polls_total": 0,
                "store_requests_total": 0,
                "downloaded_bytes_total": 0,
                "downloaded_versions_total": 0,
                "removed_versions_total": 0,
            }
        )
        self._gauges: dict[str, float] = {
            "versions": 0,
            "bytes": 0,
            "newest_version": 0,
            "pending_versions": 0,
            "free_bytes": 0,
        }
        self.last_success = 0.0
        self.last_tick = time.monotonic()

    def add(self, name: str, by: int = 1) -> None:
        """Grows a counter; also a sign of life."""
        with self._lock:
            self._sums[name] += by
            self.last_tick = time.monotonic()

    def fail(self, kind: FailureKind) -> None:
        """Counts a failure."""
        with self._lock:
            self._failures[kind] += 1

    def set(self, **gauges: float) -> None:
        """Sets gauges."""
        with self._lock:
            self._gauges.update(gauges)

    def succeed(self) -> None:
        """Notes that everything wanted is in place."""
        with self._lock:
            self.last_success = time.time()

    def value(self, name: str) -> float:
        """A counter's or gauge's value, or the count of a kind of failure."""
        with self._lock:
            for cells in (self._sums, self._gauges, self._failures):
                if name in cells:
                    return cells[name]
        raise KeyError(name)

    def exposition(self) -> str:
        """Everything in Prometheus' text format."""
        with self._lock:
            lines = []
            for name, count in self._sums.items():
                lines += [f"# TYPE slipway_sync_{name} counter", f"slipway_sync_{name} {count}"]
            gauges = {**self._gauges, "last_success_timestamp_seconds": self.last_success}
            for name, value in gauges.items():
                lines += [f"# TYPE slipway_sync_{name} gauge", f"slipway_sync_{name} {value:.15g}"]
            lines.append("# TYPE slipway_sync_failures_total counter")
            for kind, count in self._failures.items():
                lines.append(f'slipway_sync_failures_total{{kind="{kind}"}} {count}')
        return "\n".join(lines) + "\n"
