"""Downloading a published version: in parallel, every digest proven, in place as one."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from slipway.content import file_digest
from slipway.errors import TerminalError
from slipway.serving.layout import MANIFEST_NAME, Layout
from slipway.storage.base import clean_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from slipway.content import FileEntry
    from slipway.serving.layout import Manifest
    from slipway.storage import Store
    from slipway.storage.base import Piece

_PARALLEL_FILES = 8
_PARALLEL_PIECES = 4
_BLOCK_BYTES = 256 << 10
_PARTIAL = ".partial"


class DamagedObject(TerminalError):  # noqa: N818 - says what it is, as PreconditionFailed
    """An object whose bytes are not what its manifest says; the version is refused."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} is not what its manifest says: size or sha256 differ. "
            "The version is refused; publish the model again.",
            hint="Publish the model again under a new number, or restore the object.",
            subject=where,
        )

    def __reduce__(self) -> tuple[type[DamagedObject], tuple[str | None]]:
        return type(self), (self.subject,)


class Stopped(Exception):  # noqa: N818 - not an error: the caller asked for it
    """A download was asked to stop; what it had proven stays in its staging folder."""


def download_version(
    store: Store,
    manifest: Manifest,
    staging: Path,
    *,
    stop: threading.Event | None = None,
    received: Callable[[int], None] | None = None,
) -> None:
    """Fills a folder with a version, whole and durable; who called then renames it into place.

    A file has its own name in the folder only once its digest is proven, so a later call with the
    same folder proves it again from the disk and downloads what is missing. The manifest is
    written last.

    Args:
        store: Open at the base URI.
        manifest: Of the version.
        staging: Where to; on the file system of the place that it will be renamed to.
        stop: Once set, the download ends at the next block.
        received: Called with the number of bytes of each block, from any thread.

    Raises:
        DamagedObject: An object is not what the manifest says.
        SlipwayError: The store does not give it.
        OSError: The disk does not take it.
        Stopped: `stop` was set.
    """
    lanes = _Lanes(store, manifest, staging, stop or threading.Event(), received)
    staging.mkdir(parents=True, exist_ok=True)
    # The large ones first: the small ones then fill the other lanes.
    entries = sorted(manifest.files, key=lambda entry: -entry.size)
    with ThreadPoolExecutor(_PARALLEL_FILES, "download") as pool:
        tasks = [pool.submit(lanes.fetch, entry) for entry in entries]
    errors = [error for task in tasks if (error := task.exception()) is not None]
    if errors:
        raise next((error for error in errors if not isinstance(error, Stopped)), errors[0])
    _keep_only(staging, manifest)
    marker = staging / MANIFEST_NAME
    marker.write_bytes(manifest.to_bytes())
    for path in (marker, *(folder for folder in staging.rglob("*") if folder.is_dir()), staging):
        sync(path)


class _Lanes:
    """What the threads of one download share: the first failure ends them all."""

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        staging: Path,
        stop: threading.Event,
        received: Callable[[int], None] | None,
    ) -> None:
        self._store = store
        self._prefix = Layout(manifest.model).version_prefix(manifest.version)
        self._staging = staging
        self._stop = stop
        self._received = received
        self._failed = threading.Event()

    def fetch(self, entry: FileEntry) -> None:
        """Puts one file in place, unless it is there."""
        # A manifest from elsewhere must not write outside the folder.
        target = self._staging / clean_path(entry.path)
        if is_whole(target, entry):
            return
        partial = target.with_name(target.name + _PARTIAL)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(b"")  # a killed attempt may have left more
            self._copy(entry, partial)
            sync(partial)
            partial.replace(target)
        except BaseException:
            self._failed.set()
            partial.unlink(missing_ok=True)
            raise

    def _copy(self, entry: FileEntry, partial: Path) -> None:
        """Fills a file, and proves it by what it holds then."""
        path = f"{self._prefix}/{entry.path}"
        pieces = self._store.read_pieces(path, entry.size)
        ends = [*(piece.start for piece in pieces[1:]), entry.size]
        content, size = hashlib.sha256(), 0
        # One buffer for the whole file: new ones would cost more than the digest.
        buffer = memoryview(bytearray(min(_BLOCK_BYTES, entry.size)))
        with partial.open("rb", buffering=0) as written:
            for end in self._write_all(pieces, ends, partial):
                while size < end and (count := written.readinto(buffer[: end - size])):
                    content.update(buffer[:count])
                    size += count
        if partial.stat().st_size != entry.size or content.hexdigest() != entry.sha256:
            raise DamagedObject(f"{self._store.uri}/{path}")

    def _write_all(
        self, pieces: Sequence[Piece], ends: Sequence[int], partial: Path
    ) -> Iterator[int]:
        """Writes pieces, several at once; yields up to where the file is complete."""
        if len(pieces) == 1:
            self._write(pieces[0], ends[0], partial)
            yield ends[0]
            return
        with ThreadPoolExecutor(_PARALLEL_PIECES, "piece") as pool:
            tasks = [
                pool.submit(self._write, piece, end, partial)
                for piece, end in zip(pieces, ends, strict=True)
            ]
            try:
                for task, end in zip(tasks, ends, strict=True):
                    task.result()
                    yield end
            except BaseException:
                self._failed.set()  # the other pieces end at their next block
                raise

    def _write(self, piece: Piece, end: int, partial: Path) -> None:
        at = piece.start
        with partial.open("r+b") as stream:
            stream.seek(at)
            for block in self._blocks(piece):
                stream.write(block)
                at += len(block)
                if at > end:  # longer than listed: its size refuses it
                    break
                if self._received is not None:
                    self._received(len(block))

    def _blocks(self, piece: Piece) -> Iterator[bytes | memoryview]:
        if not self._is_over():
            for block in piece.blocks():
                if self._is_over():
                    break
                yield block
        if self._is_over():
            raise Stopped

    def _is_over(self) -> bool:
        return self._stop.is_set() or self._failed.is_set()


def find_damage(folder: Path, manifest: Manifest) -> str | None:
    """The first file of a folder that is not as listed, None if all are."""
    damaged = (e.path for e in manifest.files if not is_whole(folder / e.path, e))
    return next(damaged, None)


def is_whole(file: Path, entry: FileEntry) -> bool:
    """Whether a file is there with the size and sha256 of the entry."""
    if not file.is_file() or file.stat().st_size != entry.size:
        return False
    return file_digest(file) == entry.sha256


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _keep_only(staging: Path, manifest: Manifest) -> None:
    """Nothing is exposed but what the manifest lists."""
    listed = {staging / entry.path for entry in manifest.files}
    for path in list(staging.rglob("*")):
        if path not in listed and not path.is_dir():
            path.unlink()
    for folder in staging.iterdir():
        if folder.is_dir() and not any(file.is_relative_to(folder) for file in listed):
            shutil.rmtree(folder)
