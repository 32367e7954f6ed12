"""A proxy on loopback that hands on bytes as they are, counts requests and can cut answers."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_REQUEST = re.compile(rb"^([A-Z]+) (\S+) HTTP/1\.1\r\n", re.MULTILINE)


class CountingProxy:
    """Requests as they passed by, as (method, path).

    Attributes:
        cut_after: Each connection is closed after so many bytes of answers; None: never.
    """

    def __init__(self, target_port: int) -> None:
        self.requests: list[tuple[str, str]] = []
        self.cut_after: int | None = None
        self._target = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answer, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(1 << 16):
                for method, path in _REQUEST.findall(data):
                    self.requests.append((method.decode(), path.decode()))
                server.sendall(data)
        except OSError:
            pass
        finally:
            server.close()

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        try:
            while data := server.recv(1 << 16):
                passed += len(data)
                if self.cut_after is not None and passed > self.cut_after:
                    break
                client.sendall(data)
        except OSError:
            pass
        finally:
            client.close()


@contextmanager
def counting_proxy(target_port: int) -> Iterator[CountingProxy]:
    """A proxy before a server on loopback."""
    proxy = CountingProxy(target_port)
    try:
        yield proxy
    finally:
        proxy.close()
