"""Bringing a large file to its disk while it is still being written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Self

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

_FLUSH_BYTES = 16 << 20


class FlushedFile:
    """A file that is written from its begin on and flushed meanwhile, beside its writer.

    A flush of everything at the end would make its writer wait as long again: the disk's own cache
    takes what is written at once and has it to write later. What is left at the end is short.
    A file smaller than one flush is not flushed at all; whoever needs that syncs it.

    Used as a context, which has flushed all of a large file when it ends without an error.

    Args:
        stream: Open for writing, at its begin; it stays open.
        flushes: What the flushes run in; one is under way at once.

    Raises:
        OSError: The disk does not take what was written, be it long ago: the kernel tells that to
            one flush only, and a later one would find nothing wrong.
    """

    def __init__(self, stream: BinaryIO, flushes: Executor) -> None:
        self._stream = stream
        self._flushes = flushes
        self._flushing: Future[None] | None = None
        self._unflushed = 0

    def write(self, block: bytes | memoryview) -> None:
        """Appends a block."""
        self._stream.write(block)
        self._unflushed += len(block)
        if self._unflushed >= _FLUSH_BYTES and (self._flushing is None or self._flushing.done()):
            self._wait()
            self._begin()

    def _begin(self) -> None:
        self._stream.flush()
        self._flushing = self._flushes.submit(os.fsync, self._stream.fileno())
        self._unflushed = 0

    def _wait(self) -> None:
        if self._flushing is not None:
            self._flushing.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._flushing is None:
            return
        if kind is not None:
            self._flushing.exception()  # the descriptor must stay open as long as it runs
            return
        self._wait()
        self._begin()
        self._wait()
