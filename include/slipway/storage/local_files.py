"""Files and folders that appear, change and vanish as one, and survive a power cut."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slipway.storage.base import changed_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import BufferedReader
    from pathlib import Path

    from slipway.content import FileEntry

OWN = ".slipway"  # names that begin so are the store's own and are never listed
BLOCK_BYTES = 1 << 20
_HASHED_BYTES = 1 << 20
ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}


def read(file: Path) -> tuple[bytes, str]:
    """A file's content, and its etag at that time.

    Raises:
        OSError: It cannot be read.
    """
    with file.open("rb") as stream:
        content = stream.read()
        return content, _etag(stream, lambda: hashlib.sha256(content))


def etag_of(file: Path) -> str | None:
    """What changes with a file's content; None if there is no such file."""
    try:
        with file.open("rb") as stream:
            return _etag(stream, lambda: hashlib.file_digest(stream, "sha256"))
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise


def _etag(stream: BufferedReader, digest: Callable[[], hashlib._Hash]) -> str:
    """sha256 of a small file.

    To read a large one whole would make a listing cost what it lists, so its etag is of its number,
    size and time: who writes makes a file of its own.
    """
    status = os.fstat(stream.fileno())
    if status.st_size > _HASHED_BYTES:
        return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"
    return digest().hexdigest()


def holds_a_file(folder: Path) -> bool:
    """Whether there is a file below a folder, at any depth, that is not the store's own."""
    return any(not name.startswith(OWN) for _, _, names in os.walk(folder) for name in names)


def copy_as_listed(source: Path, target: Path, entry: FileEntry) -> None:
    """Copies a file durably.

    Raises:
        TerminalError: It is not the content that was listed.
    """
    content = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        stream = source.open("rb")
    except FileNotFoundError:
        raise changed_file(source) from None
    with stream, target.open("wb") as copy:
        while block := stream.read(BLOCK_BYTES):
            content.update(block)
            copy.write(block)
        copy.flush()
        os.fsync(copy.fileno())
    if content.hexdigest() != entry.sha256:
        raise changed_file(source)


def clear(staging: Path) -> None:
    """Deletes what killed attempts left; whoever holds the lock is alone here."""
    for child in staging.iterdir():
        if child.is_dir():
            shutil.rmtree(child)


def set_aside(target: Path, staging: Path) -> None:
    """Takes a folder out of sight at once, then deletes it."""
    aside = staging / f"{target.name}.removed"
    if target.is_dir():
        target.rename(aside)
        shutil.rmtree(aside)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yields a file beside the target that takes its place, whole and durable."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name, so that killed writers leave one file at most; the lock protects it.
    partial = target.with_name(f"{OWN}-partial-{target.name}")
    yield partial
    sync(partial)
    partial.replace(target)
    sync(target.parent)


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
