"""A process that kills itself by SIGKILL at a chosen step of its work.

A step is a request, as it passes a proxy inside the process on its way to the server, or a change
of the file system, as the interpreter's audit events tell before it happens. So the instant is
given by how far the work has come, and not by a clock that runs at another speed on every machine.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.storage import StoreCredentials

Steps = Literal["request", "change"]

_CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True)
class Death:
    """When a process kills itself.

    Attributes:
        of: What is counted: requests or changes of the file system.
        step: Which one, from 1.
        moment: "before": it does not reach the server or the disk. "after": it is carried out, and
            the process never learns so; of requests only. "later": so many seconds after it began.
        seconds: For "later".
    """

    of: Steps
    step: int
    moment: Literal["before", "after", "later"] = "before"
    seconds: float = 0.0

    def __str__(self) -> str:
        when = f"{self.seconds * 1000:.1f} ms after" if self.moment == "later" else self.moment
        return f"{when} {self.of} {self.step}"


class _Counter:
    """Counts the steps, and dies at the one that was chosen."""

    def __init__(self, death: Death) -> None:
        self._death = death
        self._numbers = itertools.count(1)

    def begin(self) -> bool:
        """One more step begins; says whether to die after it."""
        if next(self._numbers) != self._death.step:
            return False
        if self._death.moment == "before":
            _die()
        if self._death.moment == "later":
            timer = threading.Timer(self._death.seconds, _die)
            timer.daemon = True
            timer.start()
        return self._death.moment == "after"


def die_at(
    death: Death | None, folders: Sequence[Path], credentials: StoreCredentials | None
) -> StoreCredentials | None:
    """Makes this process die where it is told; None: it lives.

    Args:
        death: Where.
        folders: Changes below them count.
        credentials: Of the store.

    Returns:
        The credentials to work with, so that requests are counted.
    """
    if death is None:
        return credentials
    steps = _Counter(death)
    if death.of == "change":
        _watch_changes(steps, [str(folder) for folder in folders])
        return credentials
    assert credentials is not None, "there are no requests to count"
    google = credentials.google
    if google.endpoint_url:
        own = {"endpoint_url": _proxy(google.endpoint_url, steps)}
        return credentials.model_copy(update={"google": google.model_copy(update=own)})
    assert credentials.endpoint_url is not None
    return credentials.model_copy(update={"endpoint_url": _proxy(credentials.endpoint_url, steps)})


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _watch_changes(steps: _Counter, folders: Sequence[str]) -> None:
    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITES and _is_below(path, folders):
                steps.begin()
        elif event in _CHANGES:
            path, within = arguments[0], arguments[-1]
            if event != "os.rename" and isinstance(within, int) and within >= 0:
                path = f"{Path(f'/proc/self/fd/{within}').readlink()}/{os.fsdecode(path)}"
            if _is_below(path, folders):
                steps.begin()

    sys.addaudithook(look)


def _is_below(path: object, folders: Sequence[str]) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    return os.fsdecode(path).startswith(tuple(folders))


class _AtOnce(HTTPConnection):
    """Sends the head of a request together with its body, as the client of the S3 store does.

    seaweedfs takes a head whose sender dies before the body for a whole request, and keeps an
    empty object.
    """

    _held = b""

    def send(self, data: Any) -> None:
        self._held += data

    def getresponse(self) -> HTTPResponse:
        data, self._held = self._held, b""
        super().send(data)
        return super().getresponse()


def _proxy(target: str, steps: _Counter) -> str:
    """Starts a proxy before a server on loopback; its address."""
    address = target.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Without it the answer's head and body, two packets, cost 40 ms of waiting.
        disable_nagle_algorithm = True
        wbufsize = -1

        def setup(self) -> None:
            super().setup()
            self.server_side = _AtOnce(address, timeout=60)

        def do_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            die = steps.begin()
            self.server_side.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                self.server_side.putheader(name, value)
            self.server_side.endheaders(body or None)
            answer = self.server_side.getresponse()
            data = answer.read()
            if die:
                _die()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value.replace(target, own))
            length = answer.headers["Content-Length"] if self.command == "HEAD" else len(data)
            if answer.status not in {204, 304}:
                self.send_header("Content-Length", str(length or 0))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_any  # noqa: N815 - its names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    own = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return own
