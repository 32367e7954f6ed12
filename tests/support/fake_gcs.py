"""A GCS protocol server for tests."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.local.gcs_server import GcsServer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["GcsServer", "fake_gcs"]


@contextmanager
def fake_gcs() -> Iterator[GcsServer]:
    """Runs the server on a free port; takes it down with its data."""
    with tempfile.TemporaryDirectory(prefix="gcs-") as folder, GcsServer(Path(folder)) as server:
        yield server
