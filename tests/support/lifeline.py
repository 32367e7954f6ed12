"""No server that a test process starts outlives it, killed or not."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_MARK = "SLIPWAY_TEST_PROCESS"
# A process that gives itself a title, as Airflow's do, would write over its environment and mark.
_KEEP_ENVIRONMENT = "SPT_NOENV"
_SECONDS = 20.0
_POLL_SECONDS = 0.1
_SESSION = 3  # of the fields of proc(5)'s stat that follow the name


def leave_nothing_behind() -> None:
    """Tie what this process starts from now on, and whatever that starts, to its life.

    A guard waits until this process ends, and then kills every process that bears its mark in the
    environment with which it was started, and the sessions that these lead.
    """
    mark = f"{os.getpid()}.{time.time_ns()}"
    environment = {name: value for name, value in os.environ.items() if name != _MARK}
    os.environ[_MARK] = mark
    os.environ[_KEEP_ENVIRONMENT] = "1"
    subprocess.Popen(
        [sys.executable, __file__, str(os.getpid()), mark],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )


def _guard(parent: int, mark: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with suppress(ProcessLookupError):
        select.select([os.pidfd_open(parent)], [], [])
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        # One that is about to start another may do so while the others are being looked at.
        if not _kill_marked(f"{_MARK}={mark}".encode()):
            return
        time.sleep(_POLL_SECONDS)


def _kill_marked(mark: bytes) -> bool:
    """Whether there was any."""
    sessions = {pid: session for pid, session in _sessions().items() if session != os.getsid(0)}
    marked = {pid for pid in sessions if _bears(pid, mark)}
    led = marked & set(sessions.values())
    found = marked | {pid for pid, session in sessions.items() if session in led}
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(found)


def _sessions() -> dict[int, int]:
    """The session of every process that lives."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    found[int(entry.name)] = int(fields[_SESSION])
    return found


def _bears(pid: int, mark: bytes) -> bool:
    with suppress(OSError):
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


if __name__ == "__main__":
    _guard(int(sys.argv[1]), sys.argv[2])
