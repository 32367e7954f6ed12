"""A bucket that is listed again and again, where there are no notifications."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from slipway.events.messages import ObjectCreated, path_problem, split_bucket
from slipway.events.source import IDLE_WAIT_SECONDS, Batch, Source

if TYPE_CHECKING:
    from collections.abc import Collection

    from slipway.storage import Store


class BucketSource(Source):
    """Lists the place where models are dropped; a listing costs a request for 1,000 objects.

    Args:
        name: Of the source.
        store: Open at `uri`.
        uri: The place; the drops of all models that listen lie below it.
        poll_seconds: From one listing to the next.
    """

    quiet = True

    def __init__(self, name: str, store: Store, uri: str, poll_seconds: float) -> None:
        self.name = name
        self._store = store
        self._bucket, self._prefix = split_bucket(uri)
        self._poll_seconds = poll_seconds
        self._due = 0.0
        self._known: dict[str, str] = {}

    def receive(self, wait_seconds: float | None) -> Batch:
        """See `Source`; objects that were written since the last listing, all at the first."""
        wait = IDLE_WAIT_SECONDS if wait_seconds is None else wait_seconds
        left = self._due - time.monotonic()
        time.sleep(max(min(left, wait, IDLE_WAIT_SECONDS), 0.0))
        if time.monotonic() < self._due:
            return Batch()
        self.requests += 1
        batch = Batch()
        # On a folder the listing may race with a write; a name that is no path is a person's own.
        found = {i.path: i.etag for i in self._store.list("") if path_problem(i.path) is None}
        bodies = {}
        for path, etag in found.items():
            if self._known.get(path) != etag:
                key = f"{self._prefix}/{path}" if self._prefix else path
                bodies[path] = f"{self._bucket}/{key}"
                batch.notices.append((ObjectCreated(self._bucket, key), bodies[path]))

        def done(kept: Collection[str]) -> None:
            self._known = {p: etag for p, etag in found.items() if bodies.get(p) not in kept}
            self._due = time.monotonic() + self._poll_seconds

        batch.done = done
        return batch
