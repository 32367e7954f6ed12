"""A small HTTP server for the answers of a cloud that a test cannot reach."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


# What is answered: status, and a value as JSON or text as it is.
Answer = tuple[int, Any]


@dataclass
class LocalHttp:
    """Where it answers, and what it was asked.

    Attributes:
        url: Its address.
        answer: Decides over each request.
        headers: Of every answer.
        asked: Every request, in their order; names of headers in small letters.
    """

    url: str
    answer: Callable[[Asked], Answer]
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def local_http(answer: Callable[[Asked], Answer], **headers: str) -> Iterator[LocalHttp]:
    """Runs one on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            names = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, names, body)
            state.asked.append(asked)
            status, value = state.answer(asked)
            text = value if isinstance(value, str) else json.dumps(value)
            self.send_response(status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = handle_one  # noqa: N815 - the names it looks for

        def log_message(self, *_args: object) -> None:
            """Tests read no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = LocalHttp(f"http://127.0.0.1:{server.server_address[1]}", answer, headers)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
