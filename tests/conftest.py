"""Servers that tests of several folders share: started once a test process, on first use."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from support.lifeline import leave_nothing_behind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.local.gcs_server import GcsServer
    from slipway.local.s3_server import S3Server
    from support.guarded_s3 import GuardedS3


def pytest_configure() -> None:
    """Not even a kill leaves a server of the tests behind; a busy machine refutes no property."""
    leave_nothing_behind()
    settings.register_profile("slipway", deadline=None)
    settings.load_profile("slipway")


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


@pytest.fixture(scope="session")
def guarded_s3_server() -> Iterator[GuardedS3]:
    """A real S3 server with TLS, roles and one bucket, "tests"."""
    from support.guarded_s3 import guarded_s3

    with guarded_s3() as server:
        server.create_bucket("tests")
        yield server


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    """A GCS protocol server with one bucket, "tests"."""
    from support.fake_gcs import fake_gcs

    with fake_gcs() as server:
        server.create_bucket("tests")
        yield server


@pytest.fixture
def gcs_uri(gcs_server: GcsServer) -> str:
    """An empty place in the bucket, for one test; open it with `gcs_server.credentials`."""
    del gcs_server
    return f"gs://tests/{uuid.uuid4().hex}"
