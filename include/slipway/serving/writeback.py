"""Telling the kernel to begin writing a file to its disk, without waiting for it."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SYNC_FILE_RANGE_WRITE = 2  # linux/fs.h


def begin_writing(descriptor: int, start: int, size: int) -> None:
    """Begins to write a range of an open file that is still in memory only.

    Whoever calls fsync later then has little left to wait for. It promises nothing: where there is
    no such call (it is Linux's own) or it fails, fsync does all the work.

    Args:
        descriptor: Of the file.
        start: Of the range, in bytes.
        size: Of the range, in bytes; 0: to the end of the file.
    """
    call = _sync_file_range()
    if call is not None:
        call(descriptor, start, size, _SYNC_FILE_RANGE_WRITE)


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    # Python's own os module does not have it.
    found = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if found is not None:
        found.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return found
