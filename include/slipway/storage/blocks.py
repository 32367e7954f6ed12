"""A block of memory that a client fills while it downloads."""

from __future__ import annotations

import io
from mmap import mmap
from typing import TYPE_CHECKING

from slipway.errors import TerminalError

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

    def seekable(self) -> bool:
        """To its begin, for a client that has to begin anew."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go back to the begin.

        Raises:
            io.UnsupportedOperation: It is another place.
        """
        if (offset, whence) != (0, io.SEEK_SET):
            msg = "a block is written from its begin on"
            raise io.UnsupportedOperation(msg)
        self._used = 0
        return 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Buffer, /) -> int:
        """Append bytes.

        Raises:
            TerminalError: They do not fit: more came than was asked for.
        """
        begin = self._used
        with memoryview(data).cast("B") as given:
            end = begin + len(given)
            if end > len(self._memory):
                raise TerminalError(
                    f"At least {end} bytes came where {len(self._memory)} were asked for.",
                    hint="Whatever answers does not know Range, or the object is stored "
                    "compressed (Content-Encoding): leave out the proxy, or publish it anew.",
                )
            self._memory[begin:end] = given
        self._used = end
        return end - begin
