"""A server's process on loopback: started, waited for, ended."""

from __future__ import annotations

import subprocess
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

import httpx

from slipway.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

HOST = "127.0.0.1"
START_SECONDS = 30.0
POLL_SECONDS = 0.05
_STOP_SECONDS = 10.0


class LocalServer(ABC):
    """A server whose data stays in a folder.

    A context manager: the server is up inside and gone after it. `start` and `stop` do the same
    for whoever wants to leave it running.

    Args:
        folder: Where data, configuration and log go; the same folder later serves the same data.

    Attributes:
        name: What messages call it.
        process: The running process.
    """

    name: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts the server and waits until it answers.

        Raises:
            TerminalError: The server's program is not installed.
            TransientError: The server did not come up; its log is named.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        command = self.prepare()
        with self.log.open("ab") as stream:
            self.process = subprocess.Popen(
                command,
                stdout=stream,
                stderr=stream,
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C in a terminal is not meant for the data
            )
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends the server; what it has acknowledged is in its files. Safe to call at any time."""
        if self.process is None:
            return
        self.end(self.process)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / f"{self.name.lower().replace(' ', '-')}.log"

    @abstractmethod
    def prepare(self) -> Sequence[str]:
        """Chooses ports and writes the configuration.

        Returns:
            The command line.

        Raises:
            TerminalError: The server's program is not installed.
        """

    @abstractmethod
    def wait(self) -> None:
        """Waits until it does its work; raises as `answers`."""

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Tells it to end; a server that gains nothing by being asked is killed."""
        process.kill()

    def answers(self, url: str, ready: Callable[[httpx.Response], bool] = lambda _: True) -> None:
        """Waits for a successful answer that is as it should be: any, unless `ready` says more.

        Raises:
            TransientError: It did not come within 30 seconds, or the process ended.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process and self.process.poll() is None:
            try:
                answer = httpx.get(url, trust_env=False)
                if answer.is_success and ready(answer):
                    return
            except httpx.TransportError:
                pass
            time.sleep(POLL_SECONDS)
        raise TransientError(
            f"The local {self.name} did not come up at {url}.",
            hint=f"Read {self.log}; a port that something else has taken is the usual reason.",
            subject=url,
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
