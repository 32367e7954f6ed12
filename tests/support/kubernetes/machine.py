"""A machine within this one: namespaces of its own for processes, mounts and network.

Nothing of it outlives its process 1: the kernel ends the processes, and with them go the mounts,
the interfaces and the routes that lead to it. Only cgroups and files have to be removed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from slipway.errors import TerminalError, TransientError
from support.kubernetes.places import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Sequence

_INIT = Path(__file__).with_name("machine_init.py")
_PROGRAMS = ("containerd", "ctr", "runc", "unshare", "ip", "nft", "iptables", "conntrack")
_STOP_SECONDS = 20.0
# A kubelet makes these so, for all of the machine that it runs on. It sees them as it wants them,
# and the real ones stay as they are.
_TUNABLES = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}


class Machine:
    """Runs from `start` to `stop`, or until this process dies.

    Args:
        folder: For its files.
        logs: For a log of every component; emptied at the start.
    """

    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder = folder
        self.logs = logs
        self._process: subprocess.Popen[str] | None = None
        self._asking = threading.Lock()

    def start(self) -> Self:
        """Makes the namespaces.

        Raises:
            TerminalError: Not root, or a program is missing.
        """
        _check()
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.folder.mkdir(exist_ok=True)
        command = ["unshare", "--fork", "--kill-child", "--pid", "--mount-proc", "--mount"]
        command += ["--net", "--ipc", "--uts", "--propagation", "private"]
        with (self.logs / "machine.log").open("ab") as errors:
            self._process = subprocess.Popen(
                [*command, sys.executable, "-I", str(_INIT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        for hidden in HIDDEN:
            self.run("mount", "-t", "tmpfs", "tmpfs", hidden)
        self._show_tunables()
        names = self.folder / "resolv.conf"
        # Nothing listens there: who looks up a name is told so at once, not after a minute.
        names.write_text("nameserver 127.0.0.1\n")
        self.run("mount", "--bind", str(names), str(Path("/etc/resolv.conf").resolve()))
        self.run("mount", "--make-rshared", "/")
        self.run("ip", "link", "set", "lo", "up")
        return self

    def stop(self) -> None:
        """Ends all that runs in it."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def pid(self) -> int:
        """Of its process 1, as this machine counts."""
        assert self._process
        unshare = self._process.pid
        children = Path(f"/proc/{unshare}/task/{unshare}/children").read_text()
        return int(children.split()[0])

    def run(self, *command: str) -> str:
        """Runs a command in it to its end.

        Returns:
            What it printed.

        Raises:
            TerminalError: It failed.
        """
        answer = self._ask(do="run", command=command)
        if answer["status"] != 0:
            raise TerminalError(
                f"{' '.join(command)} failed in the cluster's machine: {answer['output'].strip()}",
                hint=f"read the logs in {self.logs}",
                subject=command[0],
            )
        return str(answer["output"])

    def start_component(self, name: str, command: Sequence[str]) -> None:
        """Starts a process that stays; what it says goes to its log."""
        self._ask(do="start", name=name, command=list(command), log=str(self.logs / f"{name}.log"))

    def stop_component(
        self,
        name: str,
        number: signal.Signals = signal.SIGTERM,
        grace_seconds: float = _STOP_SECONDS,
    ) -> None:
        """Ends such a process, with SIGKILL if it takes longer than its grace."""
        self._ask(do="signal", name=name, number=int(number))
        if self._ask(do="wait", name=name, seconds=grace_seconds)["status"] is None:
            self._ask(do="signal", name=name, number=int(signal.SIGKILL))
            self._ask(do="wait", name=name, seconds=_STOP_SECONDS)

    def ended(self) -> dict[str, int]:
        """Components that ended, with their exit statuses; those that were stopped as well."""
        return self._ask(do="ended")

    def _ask(self, **request: Any) -> dict[str, Any]:
        process = self._process
        assert process, "start it first"
        assert process.stdin
        assert process.stdout
        line = ""
        with self._asking, suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        answer = json.loads(line) if line else {"error": "it is gone"}
        if "error" in answer:
            raise TransientError(
                f"the cluster's machine did not {request['do']}: {answer['error']}",
                hint=f"read {self.logs / 'machine.log'}",
                subject="machine",
            )
        return dict(answer)

    def _show_tunables(self) -> None:
        folder = self.folder / "tunables"
        folder.mkdir(exist_ok=True)
        for name, value in _TUNABLES.items():
            shown = folder / name.replace("/", ".")
            shown.write_text(f"{value}\n")
            self.run("mount", "--bind", str(shown), f"/proc/sys/{name}")


def remove_cgroups(name: str) -> None:
    """Removes the cgroups of that name; waits for processes that are ending.

    Raises:
        TransientError: Processes stay in them.
    """
    deadline = time.monotonic() + _STOP_SECONDS
    for top in [top / name for top in cgroup_hierarchies()]:
        while top.exists():
            for folder, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
            if top.exists() and time.monotonic() > deadline:
                raise TransientError(
                    f"processes of an earlier cluster do not end: {top}",
                    hint="look them up in its cgroup.procs and end them",
                    subject=name,
                )
            time.sleep(0.02)


def cgroup_hierarchies() -> list[Path]:
    """Mount points, of version 1 and of version 2."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(where) for where, kind in mounts if kind in {"cgroup", "cgroup2"}]


def _check() -> None:
    if os.geteuid() != 0:
        raise TerminalError(
            "a cluster of its own needs root, for network namespaces and containers",
            hint="run as root, or set KUBECONFIG to test on a cluster of yours",
            subject="root",
        )
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        raise TerminalError(
            f"missing for a cluster of its own: {', '.join(missing)}",
            hint="make test-kubernetes installs Debian's containerd, runc, "
            "containernetworking-plugins, iproute2, iptables, nftables and conntrack; or set "
            "KUBECONFIG to test on a cluster of yours",
            subject=missing[0],
        )
