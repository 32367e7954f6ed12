"""Models that are dropped in a bucket, and a queue that may bring its messages again."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slipway.events.source import Batch, Source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from slipway.storage import Store

_GRAPH = "saved_model.pb"
_INDEX = "variables/variables.index"
_DATA = "variables/variables.data-00000-of-00001"


def drop_model(store: Store, folder: str, content: str) -> list[str]:
    """Writes a folder that looks like a SavedModel; the paths of its files."""
    files = {
        f"{folder}/{_INDEX}": b"index",
        f"{folder}/{_DATA}": content.encode(),
        f"{folder}/{_GRAPH}": b"graph of " + content.encode(),
    }
    for path, data in files.items():
        store.put(path, data)
    return list(files)


def notification(bucket: str, key: str) -> str:
    """What S3 says of a written object."""
    record: dict[str, Any] = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": bucket}, "object": {"key": key}},
    }
    return json.dumps({"Records": [record]})


@dataclass
class Clock:
    """Seconds that pass when somebody waits."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Queue:
    """Messages that stay until they are taken off: delivered at least once, in any order."""

    bodies: deque[str] = field(default_factory=deque)

    def send(self, bodies: Iterable[str]) -> None:
        self.bodies.extend(bodies)


class QueueSource(Source):
    """Up to ten messages a time; waiting moves the clock."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self.name = "queue"
        self._queue, self._clock = queue, clock

    def receive(self, wait_seconds: float | None) -> Batch:
        batch = Batch()
        some = list(self._queue.bodies)[:10]
        for body in some:
            batch.read(body)
        if not some:
            self._clock.seconds += 20.0 if wait_seconds is None else wait_seconds

        def done(kept: Collection[str]) -> None:
            for body in some:
                if body not in kept:
                    self._queue.bodies.remove(body)
            self._clock.seconds += 1.0 if kept else 0.0  # until they are visible again

        batch.done = done
        return batch
