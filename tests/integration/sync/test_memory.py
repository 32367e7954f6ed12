"""What a follower needs of memory does not grow with the model."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from slipway.serving.publish import publish
from slipway.storage import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.local.gcs_server import GcsServer
    from slipway.local.s3_server import S3Server

_LIMIT_MB = 100
_MEGABYTE = 1_000_000
# A process of its own counts the children that it has had, and none of this one's.
_MEASURE = """\
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
"""


@pytest.mark.parametrize("cloud", ["s3", "gcs"])
@pytest.mark.parametrize(("files", "megabytes"), [(1, 320), (10, 32), (40, 8)])
def test_a_large_model_passes_through_in_blocks(
    request: pytest.FixtureRequest, tmp_path: Path, cloud: str, files: int, megabytes: int
) -> None:
    server: S3Server | GcsServer = request.getfixturevalue(f"{cloud}_server")
    uri: str = request.getfixturevalue(f"{cloud}_uri")
    folder = tmp_path / "model"
    folder.mkdir()
    block = os.urandom(_MEGABYTE)
    for number in range(files):
        with (folder / f"part-{number}").open("wb") as stream:
            for part in range(megabytes):
                stream.write(bytes([number, part % 256]) + block[2:])
    (folder / "saved_model.pb").write_bytes(b"graph")
    publish(open_store(uri, server.credentials), "large", folder, variant="v", metrics={})
    command = [sys.executable, "-m", "slipway.cli", "sync", f"{uri}/large", str(tmp_path / "to")]
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command, "--once"],
        env={**os.environ, **server.credentials.to_environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (tmp_path / "to" / "1" / "part-0").stat().st_size == megabytes * _MEGABYTE
    assert float(measured.stdout.split()[-1]) < _LIMIT_MB
