"""A gateway in front of a server: it passes requests on, or answers them as it is told."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    # method and path -> status and body; None passes on; the status 0 breaks the connection
    Rule = Callable[[str, str], tuple[int, bytes] | None]

_OWN_HEADERS = {"connection", "transfer-encoding", "content-length", "date", "server"}


@dataclass
class Gateway:
    """What it does and what it saw.

    Attributes:
        url: Where it answers.
        rule: Decides over each request.
        bearer: The token that every request has to carry, if any.
        spoil: Alters every answer's body that was passed on.
        seen: Method and path of every request, in their order.
    """

    url: str
    rule: Rule = lambda _method, _path: None
    bearer: str | None = None
    spoil: Callable[[bytes], bytes] = lambda body: body
    seen: list[tuple[str, str]] = field(default_factory=list)

    def count(self, method: str, part: str) -> int:
        """How many requests of a method have this in their path."""
        return sum(one == method and part in path for one, path in self.seen)


@contextmanager
def gateway(upstream: str) -> Iterator[Gateway]:
    """Runs one on a free port."""
    client = httpx.Client(base_url=upstream, trust_env=False, timeout=30)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            state.seen.append((self.command, self.path))
            told = state.rule(self.command, self.path)
            if state.bearer and self.headers.get("Authorization") != f"Bearer {state.bearer}":
                told = google_error(401, "authError")
            if told is None:
                self._pass_on(body)
            elif told[0] == 0:
                self.close_connection = True
            else:
                self._answer(*told, {"Content-Type": "application/json"})

        do_GET = do_POST = do_PUT = do_DELETE = handle_one  # noqa: N815 - the names it looks for

        def _pass_on(self, body: bytes) -> None:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _OWN_HEADERS}
            # Unread encodings pass as they are.
            headers["Accept-Encoding"] = "identity"
            answer = client.request(self.command, self.path, headers=headers, content=body)
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _OWN_HEADERS}
            if "location" in kept:
                kept["location"] = kept["location"].replace(upstream, state.url)
            self._answer(answer.status_code, state.spoil(answer.content), kept)

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Tests read no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Gateway(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        client.close()


def google_error(status: int, reason: str, message: str = "refused") -> tuple[int, bytes]:
    """An error as Google's JSON API words it."""
    errors = [{"domain": "global", "reason": reason, "message": message}]
    body = {"error": {"code": status, "message": message, "errors": errors}}
    return status, json.dumps(body).encode()
