"""A gateway in front of a server: it passes requests on, spoils them, or answers them itself."""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length"}
_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class CutRequest:
    """The server gets so many bytes of the request's body, then both sides see a broken line.

    A request without a body never gets there.
    """

    after_bytes: int = 0


@dataclass(frozen=True)
class CutAnswer:
    """The request is carried out; of the answer's body so many bytes come back.

    None: not even its first line does.
    """

    after_bytes: int | None = None


@dataclass(frozen=True)
class Delay:
    """The request waits so long before it is passed on."""

    seconds: float


@dataclass(frozen=True)
class Silence:
    """The request is taken and never answered."""


# status and body; the status 0 breaks the connection
Answer = tuple[int, bytes]
Fault = Answer | CutRequest | CutAnswer | Delay | Silence
if TYPE_CHECKING:
    # method and path -> what goes wrong; None passes on
    Rule = Callable[[str, str], Fault | None]


@dataclass
class Gateway:
    """What it does and what it saw.

    Attributes:
        url: Where it answers.
        rule: Decides over each request.
        bearer: The token that every request has to carry, if any.
        spoil: Alters every answer's body that was passed on.
        bytes_per_second: Of all connections and both directions together; None: no limit.
        seen: Method and path of every request, in their order.
    """

    url: str
    rule: Rule = lambda _method, _path: None
    bearer: str | None = None
    spoil: Callable[[bytes], bytes] | None = None
    bytes_per_second: float | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    _line: threading.Lock = field(default_factory=threading.Lock)
    _free_at: float = 0.0

    def count(self, method: str, part: str) -> int:
        """How many requests of a method have this in their path."""
        return sum(one == method and part in path for one, path in self.seen)

    def take_time(self, count: int) -> None:
        """Waits as long as so many bytes take on the line."""
        if self.bytes_per_second is None:
            return
        with self._line:
            self._free_at = max(self._free_at, time.monotonic()) + count / self.bytes_per_second
            wait = self._free_at - time.monotonic()
        self.closing.wait(max(wait, 0))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.gateway = Gateway(f"http://127.0.0.1:{self.server_address[1]}")

    def handle_error(self, *_args: Any) -> None:
        """Clients may break their connections as they like."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    @property
    def _gateway(self) -> Gateway:
        return self.server.gateway

    def handle_one(self) -> None:
        self._left = int(self.headers.get("Content-Length") or 0)
        self._gateway.seen.append((self.command, self.path))
        verdict = self._gateway.rule(self.command, self.path)
        bearer = self._gateway.bearer
        if bearer and self.headers.get("Authorization") != f"Bearer {bearer}":
            verdict = google_error(401, "authError")
        match verdict:
            case (0, _):
                self.close_connection = True
            case (status, body):
                self._read_all()
                self._answer(status, [("Content-Type", "application/json")], body)
            case Silence():
                self._read_all()
                self._gateway.closing.wait()
                self.close_connection = True
            case Delay(seconds):
                self._gateway.closing.wait(seconds)
                self._pass_on(None)
            case fault:
                self._pass_on(fault)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_one  # noqa: N815 - the names it looks for

    def _pass_on(self, fault: CutRequest | CutAnswer | None) -> None:
        # The headers have come already: a request without a body is lost as a whole.
        cut = isinstance(fault, CutRequest)
        if cut and not self._left:
            self.close_connection = True
            return
        server = http.client.HTTPConnection(urlsplit(self.server.upstream).netloc, timeout=60)
        try:
            self._ask(server, fault.after_bytes if isinstance(fault, CutRequest) else None)
            if cut:
                self.close_connection = True
            else:
                self._hand_back(server.getresponse(), fault)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            server.close()

    def _ask(self, server: http.client.HTTPConnection, limit: int | None) -> None:
        server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP - {"content-length"}:
                server.putheader(name, value)
        server.endheaders()
        left = self._left if limit is None else min(limit, self._left - 1)
        while left and (block := self.rfile.read1(min(left, _BLOCK_BYTES))):
            self._gateway.take_time(len(block))
            server.send(block)
            left -= len(block)

    def _hand_back(self, answer: http.client.HTTPResponse, fault: CutAnswer | None) -> None:
        body = answer.read()
        if self._gateway.spoil is not None:
            body = self._gateway.spoil(body)
        limit = len(body)
        if fault is not None:
            self.close_connection = True
            if fault.after_bytes is None:
                return
            limit = min(fault.after_bytes, max(len(body) - 1, 0))
        headers = [
            # Where to send the rest of an upload.
            (name, value.replace(self.server.upstream, self._gateway.url))
            for name, value in answer.getheaders()
            if name.lower() not in _HOP_BY_HOP
        ]
        self._head(answer.status, headers, len(body))
        for start in range(0, limit, _BLOCK_BYTES):
            block = body[start : min(start + _BLOCK_BYTES, limit)]
            self._gateway.take_time(len(block))
            self.wfile.write(block)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self._head(status, headers, len(body))
        self.wfile.write(body)

    def _head(self, status: int, headers: list[tuple[str, str]], length: int) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _read_all(self) -> None:
        while self._left and (block := self.rfile.read1(min(self._left, _BLOCK_BYTES))):
            self._left -= len(block)

    def log_message(self, *_args: object) -> None:
        """Tests read no access log."""


@contextmanager
def gateway(upstream: str) -> Iterator[Gateway]:
    """Runs one on a free port. Host headers pass unchanged: signatures cover them."""
    server = _Server(upstream)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.gateway
    finally:
        server.gateway.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def google_error(status: int, reason: str, message: str = "refused") -> Answer:
    """An error as Google's JSON API words it."""
    errors = [{"domain": "global", "reason": reason, "message": message}]
    body = {"error": {"code": status, "message": message, "errors": errors}}
    return status, json.dumps(body).encode()


def amazon_error(status: int, code: str, message: str = "refused") -> Answer:
    """An error as S3 words it."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
    return status, f"{body}<Message>{message}</Message><RequestId>1</RequestId></Error>".encode()
