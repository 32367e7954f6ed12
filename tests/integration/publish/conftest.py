"""Publishing is tested on a folder, on a real S3 server and on a GCS server alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.storage import Store, open_store
from support.real_bucket import empty_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["local", "s3", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    if request.param == "local":
        yield open_store(str(tmp_path / "published"))
        return
    with empty_store(request.param, request) as store:
        yield store
