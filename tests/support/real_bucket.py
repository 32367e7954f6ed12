"""A bucket of a real cloud for the suites, if the environment names one.

SLIPWAY_TEST_S3_URI and SLIPWAY_TEST_GCS_URI hold s3://bucket/prefix and gs://bucket/prefix; the
credentials come from the cloud's own standard variables. Every test works in a folder of its own
and removes it.
"""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slipway.storage import Store, StoreCredentials, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


@contextmanager
def empty_store(kind: str, request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store of a kind, "s3" or "gcs": in the real bucket, else on the local server."""
    real = os.environ.get(f"SLIPWAY_TEST_{kind.upper()}_URI")
    if not real:
        credentials: StoreCredentials = request.getfixturevalue(f"{kind}_server").credentials
        yield open_store(request.getfixturevalue(f"{kind}_uri"), credentials)
        return
    store = open_store(f"{real.rstrip('/')}/slipway-test-{uuid.uuid4().hex}")
    try:
        yield store
    finally:
        for info in store.list(""):
            store.delete(info.path)
