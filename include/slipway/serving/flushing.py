"""Making what was written survive a power cut, while the rest is still on its way."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO, Self

if TYPE_CHECKING:
    from types import TracebackType


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, survive a power cut."""
    _sync_and_close(os.open(path, os.O_RDONLY))


class Flusher:
    """Syncs files in a thread of its own, all that have come since it last looked in one go.

    The first of them makes the file system write its journal, for the others little is left to do:
    so 200 small files cost a few journal writes instead of 200, and the disk works while the
    network does. A context manager; leaving it without an exception waits until all is synced.

    Raises:
        OSError: On leaving: the disk did not take what was written.
    """

    def __init__(self) -> None:
        self._files: SimpleQueue[Path | int | None] = SimpleQueue()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="flush", daemon=True)

    def add(self, file: Path | BinaryIO) -> None:
        """Has a file synced, as it is now or as it is by then.

        Args:
            file: Its path, under which it must still be found then, or the open file.
        """
        # The file may be closed by then; who has a descriptor of his own does not mind.
        self._files.put(file if isinstance(file, Path) else os.dup(file.fileno()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.put(None)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        over = False
        while not over:
            waiting = [self._files.get()]
            while not self._files.empty():
                waiting.append(self._files.get())
            over = None in waiting
            for file in waiting:
                if file is not None:
                    self._flush(file)

    def _flush(self, file: Path | int) -> None:
        try:
            if isinstance(file, Path):
                sync(file)
            else:
                _sync_and_close(file)
        except OSError as error:
            self._error = self._error or error


def _sync_and_close(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
