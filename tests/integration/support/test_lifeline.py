"""Servers that tests start, when the tests are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[2]
_TEST_PROCESS = """
import subprocess, sys, time
from pathlib import Path
from slipway.local.prometheus import Prometheus
from support.fake_gcs import fake_gcs
from support.lifeline import leave_nothing_behind
from support.seaweed import seaweed

TITLED = "import time, setproctitle; setproctitle.setproctitle('t' * 4000); time.sleep(600)"

leave_nothing_behind()
titled = subprocess.Popen([sys.executable, "-c", TITLED], start_new_session=True)
while b"ttt" not in Path(f"/proc/{titled.pid}/cmdline").read_bytes():
    time.sleep(0.01)
with seaweed() as s3, fake_gcs() as gcs, Prometheus(Path(sys.argv[1]), targets=[]) as prometheus:
    print(*(server.process.pid for server in (s3, gcs, prometheus)), titled.pid, flush=True)
    time.sleep(600)
"""


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_no_server_outlives_tests_that_are_killed(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(_TESTS), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", _TEST_PROCESS, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert process.stdout is not None
    servers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(servers) == 4
    assert all(_lives(pid) for pid in servers)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    process.stdout.close()
    deadline = time.monotonic() + 20
    while any(_lives(pid) for pid in servers):
        assert time.monotonic() < deadline, "a server outlived the process that started it"
        time.sleep(0.05)
