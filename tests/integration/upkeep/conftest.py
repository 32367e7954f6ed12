"""Upkeep is tested on a folder, on a real S3 server and on a GCS server alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.storage import Store, open_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["local", "s3", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store."""
    if request.param == "local":
        return open_store(str(tmp_path / "published"))
    credentials = request.getfixturevalue(f"{request.param}_server").credentials
    return open_store(request.getfixturevalue(f"{request.param}_uri"), credentials)
