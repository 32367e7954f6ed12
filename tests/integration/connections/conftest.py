"""These tests have an Airflow of their own, whose worker is nobody but what a connection says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

from support.airflow_home import own_airflow
from support.no_identity import no_identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.guarded_s3 import GuardedS3, Identities

own_airflow()


@pytest.fixture
def server(guarded_s3_server: GuardedS3) -> GuardedS3:
    """An S3 server with TLS and roles, and a bucket `tests`."""
    return guarded_s3_server


@pytest.fixture
def identities(server: GuardedS3) -> Identities:
    """Signs the tokens that the server takes for identities."""
    return server.identities


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_identity(monkeypatch, tmp_path)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Makes an Airflow connection for one test; Airflow remembers those that it has seen."""
    # It becomes part of the name of a role's session, which must be short.
    name = f"of_{crc32(request.node.name.encode()):x}"

    def make(**fields: Any) -> str:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))
        return name

    return make
