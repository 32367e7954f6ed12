"""A follower for tests, in this process."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slipway.serving.layout import parse_version
from slipway.serving.publish import publish
from slipway.serving.sync.disk import LocalVersions
from slipway.serving.sync.follower import Follower, Policy
from slipway.serving.sync.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slipway.storage import Store

MODEL = "digits"


def publish_model(store: Store, folder: Path) -> int:
    """Publishes a folder; returns its version."""
    return publish(store, MODEL, folder, variant="original", metrics={}).version


class Following:
    """A follower and what belongs to it."""

    def __init__(self, store: Store, folder: Path, policy: Policy) -> None:
        self.folder = folder
        self.metrics = Metrics()
        self.disk = LocalVersions(folder)
        self.stop = threading.Event()
        self.follower = Follower(store, MODEL, self.disk, policy, self.metrics, self.stop)

    def poll(self) -> bool:
        """One poll."""
        return self.follower.poll()

    @property
    def versions(self) -> set[int]:
        """What a server would find in the folder."""
        numbers = (parse_version(child.name) for child in self.folder.iterdir())
        return {number for number in numbers if number is not None}


@contextmanager
def following(store: Store, folder: Path, policy: Policy | None = None) -> Iterator[Following]:
    """A follower that polls when it is told."""
    made = Following(store, folder, policy or Policy(interval=0.01, reserve_bytes=0))
    try:
        yield made
    finally:
        made.disk.close()
