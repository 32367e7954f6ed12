"""A real S3 server for tests, with signature checks on."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.local.s3_server import S3Server, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["S3Server", "free_ports", "seaweed"]


@contextmanager
def seaweed() -> Iterator[S3Server]:
    """Runs the server on free ports with keys of its own; takes it down with its data."""
    with tempfile.TemporaryDirectory(prefix="seaweed-") as folder, S3Server(Path(folder)) as server:
        yield server
