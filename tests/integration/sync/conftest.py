"""Following is tested on a folder and on a real S3 server alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.storage import Store, open_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store."""
    if request.param == "local":
        return open_store(str(tmp_path / "published"))
    credentials = request.getfixturevalue("s3_server").credentials
    return open_store(request.getfixturevalue("s3_uri"), credentials)
