"""How much a server has to load, and how much of it is there when compressed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LEVEL = 9
_BLOCK = 1 << 20


def size_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def compressed_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, each compressed by zlib at level 9.

    The same content gives the same number: names, times and the order of files have no part in it.
    """
    return sum(_compressed(path) for path in folder.rglob("*") if path.is_file())


def _compressed(file: Path) -> int:
    compressor = zlib.compressobj(_LEVEL)
    total = 0
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            total += len(compressor.compress(block))
    return total + len(compressor.flush())
