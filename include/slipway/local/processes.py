"""Start servers on loopback in the background, and be sure to find and end them again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from pydantic import TypeAdapter

from slipway.contracts import Contract
from slipway.errors import TerminalError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_STOP_SECONDS = 15.0
_KILL_SECONDS = 2.0
_TAIL_BYTES = 2000
_MARK = "SLIPWAY_STACK"


@dataclass(frozen=True)
class Service:
    """A server to start.

    Attributes:
        name: For people, and for its log file.
        command: Program and arguments; no shell.
        ready: Whether it answers; asked again and again until it does.
        environment: Added to this process's environment.
        ready_within_seconds: Time limit for the first answer.
    """

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_within_seconds: float = 60.0


class Running(Contract):
    """A started server.

    Attributes:
        name: As in its Service.
        pid: Process id, which is its process group's too.
        started_ticks: The kernel's start time of the process: tells it from a later one that was
            given the same id.
        log: Path of its log.
    """

    name: str
    pid: int
    started_ticks: int
    log: str

    @property
    def alive(self) -> bool:
        """Whether this very process runs."""
        return _start_ticks(self.pid) == self.started_ticks

    @property
    def lingers(self) -> bool:
        """Whether it runs, or others of its process group outlived it."""
        # The kernel gives nobody the id of a group that has members.
        return self.alive or (_start_ticks(self.pid) is None and _group_lives(self.pid))


class ProcessTable:
    """The servers of one folder, kept in a file so that a later command can end them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "processes.json"
        (folder / "logs").mkdir(parents=True, exist_ok=True)

    def running(self) -> list[Running]:
        """The servers that are alive, in the order in which they were started."""
        return [process for process in self._known() if process.alive]

    def start(self, service: Service) -> Running:
        """Start a server, unless it runs already, and wait until it is ready.

        What a killed one of that name left behind is ended first.

        Raises:
            TerminalError: if its program is not there.
            TransientError: if it ends or is not ready in time, with the end of its log.
        """
        process = self.find(service.name) or self._spawn(service)
        self._wait(process, service)
        return process

    def start_all(self, services: Sequence[Service]) -> None:
        """Start servers at once, and wait until all are ready; errors as `start`."""
        started = [(self.find(each.name) or self._spawn(each), each) for each in services]
        for process, service in started:
            self._wait(process, service)

    def find(self, name: str) -> Running | None:
        """The server of that name, if it runs."""
        return next((process for process in self.running() if process.name == name), None)

    def adopt(self, name: str, pid: int, log: Path) -> None:
        """Keep a server that somebody else started."""
        self._keep(Running(name=name, pid=pid, started_ticks=_start_ticks(pid) or 0, log=str(log)))

    def stop(self, name: str) -> None:
        """End one server, if it runs."""
        found = self.find(name)
        if found is not None:
            _end([found])

    def stop_all(self) -> list[str]:
        """End every server and what is left of killed ones; the names of those that ran.

        Workers that outlived a killed scheduler are found by its process group, servers whose start
        was cut short by the mark in their environment. Neither alone is enough: workers write
        their titles over their environment, and no file knows of a start that was cut short.
        """
        known = self._known()[::-1]
        _end([*known, *self._marked()])
        self._file.unlink(missing_ok=True)
        return [process.name for process in known]

    @contextmanager
    def mark(self) -> Iterator[None]:
        """Whatever is started meanwhile, and whatever that starts, bears this table's mark."""
        before = os.environ.get(_MARK)
        os.environ[_MARK] = str(self.folder)
        try:
            yield
        finally:
            if before is None:
                del os.environ[_MARK]
            else:
                os.environ[_MARK] = before

    def _known(self) -> list[Running]:
        if not self._file.is_file():
            return []
        known = _TABLE.validate_json(self._file.read_bytes())
        return [process for process in known if process.lingers]

    def _marked(self) -> list[Running]:
        wanted = f"{_MARK}={self.folder}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    pid = int(entry.name)
                    ticks = _start_ticks(pid) or 0
                    found.append(Running(name="marked", pid=pid, started_ticks=ticks, log=""))
        return found

    def _spawn(self, service: Service) -> Running:
        _end([left for left in self._known() if left.name == service.name])
        log = self.folder / "logs" / f"{service.name}.log"
        with log.open("ab") as output:
            try:
                with self.mark():
                    process = subprocess.Popen(
                        service.command,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        env={**os.environ, **service.environment},
                        start_new_session=True,
                    )
            except FileNotFoundError:
                raise TerminalError(
                    f"{service.name} cannot be started: there is no {service.command[0]}",
                    hint="run `make install`, which installs what is missing",
                    subject=service.command[0],
                ) from None
        ticks = _start_ticks(process.pid) or 0
        entry = Running(name=service.name, pid=process.pid, started_ticks=ticks, log=str(log))
        self._keep(entry)
        return entry

    def _keep(self, entry: Running) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_bytes(_TABLE.dump_json([*self._known(), entry], indent=1))
        partial.replace(self._file)

    def _wait(self, process: Running, service: Service) -> None:
        deadline = time.monotonic() + service.ready_within_seconds
        while not (service.ready() and process.alive):
            if not process.alive or time.monotonic() > deadline:
                self._give_up(process)
            time.sleep(0.1)

    def _give_up(self, process: Running) -> None:
        state = "is not ready in time" if process.alive else "ended"
        _end([process])
        tail = Path(process.log).read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")
        raise TransientError(
            f"{process.name} {state}; the end of {process.log}:\n{tail}",
            hint="read the log; `make down` clears what is left",
            subject=process.name,
        )


_TABLE = TypeAdapter(list[Running])


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different TCP ports of the loopback that nothing listens on now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def answers(url: str) -> bool:
    """Whether a GET of the address is answered with a status below 500."""
    try:
        return httpx.get(url, timeout=2).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.TransportError:
        return False


def _end(processes: list[Running]) -> None:
    for process in processes:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while any(process.alive for process in processes) and time.monotonic() < deadline:
        _reap(processes)
        time.sleep(0.05)
    for process in processes:
        _signal(process, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_SECONDS
    while any(process.lingers for process in processes) and time.monotonic() < deadline:
        _reap(processes)
        time.sleep(0.05)
    _reap(processes)


def _signal(process: Running, number: int) -> None:
    if not process.lingers:
        return
    # The group may outlive its leader, and an adopted process may lead none.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    with suppress(ProcessLookupError):
        if process.alive:
            os.kill(process.pid, number)


def _group_lives(group: int) -> bool:
    """Whether a process group has a member that is no zombie: fields 3 and 5 of proc(5)'s stat."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == group and fields[0] != "Z":
                    return True
    return False


def _reap(processes: list[Running]) -> None:
    """Those that this very process started would stay as zombies."""
    for process in processes:
        with suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)


def _start_ticks(pid: int) -> int | None:
    """Field 22 of /proc/<pid>/stat, see proc(5); None if there is no such process, or a zombie.

    A process whose first thread ended shows as a zombie while its other threads still listen.
    """
    process = Path(f"/proc/{pid}")
    try:
        after_name = (process / "stat").read_text().rpartition(")")[2].split()
        threads = len(list((process / "task").iterdir()))
    except OSError:
        return None
    return None if after_name[0] == "Z" and threads <= 1 else int(after_name[19])
