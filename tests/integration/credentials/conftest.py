"""Who we are is told by the environment alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.guarded_s3 import GuardedS3, Identities, guarded_s3
from support.no_identity import no_identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def _guarded() -> Iterator[tuple[GuardedS3, Identities]]:
    with guarded_s3() as both:
        yield both


@pytest.fixture
def server(_guarded: tuple[GuardedS3, Identities]) -> GuardedS3:
    """An S3 server with TLS and roles, and a bucket `tests`."""
    return _guarded[0]


@pytest.fixture
def identities(_guarded: tuple[GuardedS3, Identities]) -> Identities:
    """Signs the tokens that the server takes for identities."""
    return _guarded[1]


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_identity(monkeypatch, tmp_path)
