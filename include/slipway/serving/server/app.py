"""The server as a whole: in this process for tests, or as a process of its own."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Self

import uvicorn

from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.serving.server.config import read_monitoring_config
from slipway.serving.server.core import Core
from slipway.serving.server.flags import ServerFlags, parse_flags
from slipway.serving.server.metrics import Metrics
from slipway.serving.server.rest import RestApi

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_log = logging.getLogger(__name__)

_START_SECONDS = 30
_BACKLOG = 1024


class Server:
    """The model server; also a context manager that starts and stops it.

    Args:
        flags: What to serve and where; ``rest_api_port`` must not be 0.

    Attributes:
        metrics: What was counted so far.
    """

    def __init__(self, flags: ServerFlags) -> None:
        self.flags = flags
        self.metrics = Metrics()
        self._core: Core | None = None
        self._listener: socket.socket | None = None
        self._http: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        threads = flags.rest_api_num_threads or 4 * (os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, "rest")
        # Of this server alone unless the flag says otherwise: another's clean-up must not hit it.
        self._own_cache = tempfile.TemporaryDirectory(prefix="slipway-serve-")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the REST API answers, without a trailing slash."""
        return f"http://{self.flags.rest_api_host}:{self.flags.rest_api_port}"

    def start(self) -> None:
        """Opens the port and begins to load; returns once requests are answered.

        What is not loaded yet is answered with 404; the status endpoint says how far it is.

        Raises:
            TerminalError: The configuration is wrong or the port is taken; nothing stays open.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        _announce(self.flags, self.url)

    def _start(self) -> None:
        monitoring = read_monitoring_config(self.flags)
        self._listener = _listen(self.flags)
        cache = Path(self.flags.model_cache_dir or self._own_cache.name).absolute()
        self._core = Core(self.flags, self.metrics, cache)
        api = RestApi(self._core, self.metrics, monitoring, self._pool)
        self._http = uvicorn.Server(
            uvicorn.Config(
                api,
                lifespan="off",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
            )
        )
        self._thread = threading.Thread(
            target=self._http.run, args=([self._listener],), name="http", daemon=True
        )
        self._thread.start()
        _wait_started(self._http, self._thread)

    def stop(self) -> None:
        """Takes no new requests, waits for those under way, and unloads everything."""
        if self._http is not None and self._thread is not None:
            self._http.should_exit = True
            self._thread.join()
        if self._listener is not None:
            self._listener.close()
        if self._core is not None:
            self._core.close()
        self._pool.shutdown()
        self._own_cache.cleanup()


def main(argv: Sequence[str]) -> int:
    """Serves until SIGTERM or SIGINT; requests under way are answered first.

    Args:
        argv: Flags; see `parse_flags`.

    Returns:
        The exit status: 0 after a signal, 1 if the server could not start.
    """
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
    )
    # Session loading is deprecated there in favour of restored functions: not what is wanted here.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    asked_to_stop = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        asked_to_stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        server = Server(parse_flags(argv))
        server.start()
    except SlipwayError as error:
        sys.stderr.write(f"Failed to start server. Error: {error}\n")
        return 1
    asked_to_stop.wait()
    _log.info("Stopping: answering the requests under way")
    server.stop()
    return 0


def _listen(flags: ServerFlags) -> socket.socket:
    if not flags.rest_api_port:
        raise TerminalError(
            "The REST API is off, and this server offers no gRPC.",
            hint="Give --rest_api_port=8501.",
            subject="rest_api_port",
        )
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((flags.rest_api_host, flags.rest_api_port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise TerminalError(
            f"Cannot listen on {flags.rest_api_host}:{flags.rest_api_port}: {error}.",
            hint="Stop what uses the port, or give another --rest_api_port.",
            subject="rest_api_port",
        ) from error
    return listener


def _wait_started(http: uvicorn.Server, thread: threading.Thread) -> None:
    waited = threading.Event()
    for _ in range(_START_SECONDS * 100):
        if http.started:
            return
        if not thread.is_alive():
            break
        waited.wait(0.01)
    raise TransientError(
        "The HTTP server did not start.", hint="See the log above this line.", subject="http"
    )


def _announce(flags: ServerFlags, url: str) -> None:
    _log.info("gRPC is not offered: nothing listens on port %d", flags.port)
    for name in flags.ignored:
        _log.warning("--%s has no effect here", name)
    _log.info("Exporting HTTP/REST API at %s", url)
