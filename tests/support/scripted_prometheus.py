"""Prometheus' query API with answers of the test's own: the real one cannot be told what to see."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer = Any
"""A number, None for no series, or a whole reply as dict."""


class ScriptedPrometheus(ThreadingHTTPServer):
    """Answers each query by a function of its PromQL and the look's number, from 0."""

    daemon_threads = True

    def __init__(self, answer: Callable[[str, int], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self.server_port}"

    def looks(self) -> int:
        """How many looks were taken: queries of one look share one time."""
        return len(dict.fromkeys(at for at, _ in self.asked))


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedPrometheus

    def do_POST(self) -> None:
        """Answer one query."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.asked.append((form["time"][0], form["query"][0]))
        reply = self.server.answer(form["query"][0], self.server.looks() - 1)
        body = json.dumps(reply if isinstance(reply, dict) else _vector(reply)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _vector(value: float | None) -> dict[str, Any]:
    result = [] if value is None else [{"metric": {}, "value": [0, str(value)]}]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


@contextmanager
def scripted_prometheus(answer: Callable[[str, int], Answer]) -> Iterator[ScriptedPrometheus]:
    """A server on a free port."""
    server = ScriptedPrometheus(answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
