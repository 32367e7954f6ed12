"""Process 1 of the cluster's machine, and the one that starts and ends the others in it.

Run as a file, by unshare. Reads a JSON request a line and answers each with a line. When its input
ends, because whoever asked for the machine is done or was killed, it ends, and the kernel ends all
that is left in the machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

_RUN_SECONDS = 540


class Components:
    """Processes by name."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], log: str) -> dict[str, Any]:
        with Path(log).open("ab") as stream:
            self._running[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )
        return {"pid": self._running[name].pid}

    def signal(self, name: str, number: int) -> dict[str, Any]:
        self._running[name].send_signal(number)
        return {}

    def wait(self, name: str, seconds: float) -> dict[str, Any]:
        try:
            return {"status": self._running[name].wait(seconds)}
        except subprocess.TimeoutExpired:
            return {"status": None}

    def ended(self) -> dict[str, Any]:
        return {name: one.poll() for name, one in self._running.items() if one.poll() is not None}

    def run(self, command: list[str], seconds: float = _RUN_SECONDS) -> dict[str, Any]:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
        return {"status": done.returncode, "output": done.stdout.decode(errors="replace")}


def serve() -> None:
    components = Components()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(components, request.pop("do"))(**request)
        except (OSError, KeyError, subprocess.SubprocessError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def main() -> None:
    """As process 1, reaps what nobody waits for: a container's shim has no other parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then end this
    server = os.fork()
    if server == 0:
        serve()
        os._exit(0)
    while os.wait()[0] != server:
        pass


if __name__ == "__main__":
    main()
