from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.local.s3_server import S3Server
from slipway.storage import open_store

if TYPE_CHECKING:
    from pathlib import Path


def test_a_bucket_that_is_there_already_is_not_an_error_and_keeps_its_objects(
    tmp_path: Path,
) -> None:
    with S3Server(tmp_path) as server:
        uri = server.create_bucket("kept")
        assert server.create_bucket("kept") == uri
        open_store(uri, server.credentials).put("a", b"1")
        keys = server.credentials
    with S3Server(tmp_path, credentials=keys) as server:
        assert server.create_bucket("kept") == uri
        found = open_store(uri, server.credentials).get("a")
        assert found is not None
        assert found.data == b"1"
