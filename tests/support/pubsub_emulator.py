"""Google's Pub/Sub emulator on loopback, where the Cloud CLI's component is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from slipway.local.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS = 90.0


def emulator_program() -> Path | None:
    """The emulator, which is in no registry; None if it is not installed."""
    gcloud = shutil.which("gcloud")
    if gcloud is None or shutil.which("java") is None:
        return None
    places = (Path(gcloud).resolve().parents[1], Path("/usr/lib/google-cloud-sdk"))
    programs = (p / "platform/pubsub-emulator/bin/cloud-pubsub-emulator" for p in places)
    return next((program for program in programs if program.is_file()), None)


@contextmanager
def pubsub_emulator(folder: Path) -> Iterator[str]:
    """Runs the emulator; its host and port. Skips the test where there is none."""
    program = emulator_program()
    if program is None:
        pytest.skip("the Pub/Sub emulator is not installed: gcloud components, pubsub-emulator")
    port = free_port()
    log = folder / "pubsub.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [str(program), "--host=127.0.0.1", f"--port={port}"],
            stdout=stream,
            stderr=stream,
            start_new_session=True,  # the program is a script that starts Java
        )
    try:
        _wait(process, port, log)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}", trust_env=False, timeout=2)
        except httpx.HTTPError:
            assert time.monotonic() < deadline, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        else:
            return
