"""The follower's own pages: /healthz, /readyz and /metrics."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from slipway.serving.sync.metrics import Metrics

_TEXT = "text/plain; charset=utf-8"
_EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class Pages:
    """Answers while the follower works; a context manager.

    Args:
        host: The address to listen on.
        port: 0 takes a free one.
        metrics: What to show.
        stuck_seconds: Without a sign of life for so long, the follower is not healthy.

    Raises:
        TerminalError: The port is taken.
    """

    def __init__(self, host: str, port: int, metrics: Metrics, stuck_seconds: float) -> None:
        def answer(path: str) -> tuple[int, str, str]:
            if path == "/metrics":
                return 200, _EXPOSITION, metrics.exposition()
            if path == "/healthz":
                alive = time.monotonic() - metrics.last_tick < stuck_seconds
                return (200, _TEXT, "ok\n") if alive else (503, _TEXT, "no sign of life\n")
            if path == "/readyz":
                ready = metrics.value("versions") > 0
                return (200, _TEXT, "ok\n") if ready else (503, _TEXT, "no version is in place\n")
            return 404, _TEXT, "there are /healthz, /readyz and /metrics\n"

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                status, kind, text = answer(self.path.partition("?")[0])
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Probes would fill the log."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise TerminalError(
                f"Cannot listen on {host}:{port}: {error.strerror}.",
                hint="Stop what uses the port, or give another --port.",
                subject="port",
            ) from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="pages", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
