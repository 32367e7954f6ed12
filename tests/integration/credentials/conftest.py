"""Who we are is told by the environment alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.no_identity import no_identity

if TYPE_CHECKING:
    from pathlib import Path

    from support.guarded_s3 import GuardedS3, Identities


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
