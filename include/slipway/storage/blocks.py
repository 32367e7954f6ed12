"""A block of memory that a client fills while it downloads."""

from __future__ import annotations

import io
from mmap import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Block(io.RawIOBase):
    """What a client writes into while it downloads.

    Args:
        size: Of the block, in bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        # Not from the heap, which many threads that come and go would tear into pieces.
        self._memory = memoryview(mmap(-1, size))
        self._used = 0

    def take(self) -> memoryview:
        """What was written; the block is of no use afterwards.

        The client and what it asked with hold each other, and so this, until they are collected:
        only whoever takes the memory holds that.
        """
        taken, self._memory = self._memory[: self._used], memoryview(b"")
        return taken

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Append bytes.

        Raises:
            OSError: They do not fit: more came than was asked for.
        """
        begin = self._used
        with memoryview(data).cast("B") as given:
            end = begin + len(given)
            if end > len(self._memory):
                msg = f"{end} bytes came for a block of {len(self._memory)}"
                raise OSError(msg)
            self._memory[begin:end] = given
        self._used = end
        return end - begin
