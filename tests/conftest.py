"""Servers that tests of several folders share: started once a test process, on first use."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.local.s3_server import S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real S3 server with one bucket, "tests"."""
    from support.seaweed import seaweed

    with seaweed() as server:
        server.create_bucket("tests")
        yield server


@pytest.fixture
def s3_uri(s3_server: S3Server) -> str:
    """An empty place in the bucket, for one test; open it with `s3_server.credentials`."""
    del s3_server
    return f"s3://tests/{uuid.uuid4().hex}"
