"""Downloading a published version: in parallel, every digest proven, in place as one."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from slipway.content import digest_of, file_digest
from slipway.errors import TerminalError
from slipway.serving.layout import MANIFEST_NAME, Layout
from slipway.serving.writeback import FlushedFile
from slipway.storage.base import clean_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from slipway.content import FileEntry
    from slipway.serving.layout import Manifest
    from slipway.storage import Store
    from slipway.storage.base import Piece

_PARALLEL_FILES = 8
_PIECES_IN_MEMORY = 4  # of all files together, each as long as the store makes them
_BLOCK_BYTES = 256 << 10
_LOOK_SECONDS = 0.5
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
    """Fills a folder with a version, whole; who called then renames it into place.

    A file has its own name in the folder only once its digest is proven, so a later call with the
    same folder proves it again from the disk and downloads what is missing. The manifest is
    written last. The large files have been flushed by then; whoever needs that of all of them
    syncs the folder.

    Args:
        store: Open at the base URI.
        manifest: Of the version.
        staging: Where to; on the file system of the place that it will be renamed to.
        stop: Once set, the download ends at the next block.
        received: Called with the number of bytes of each block, from any thread.

    Raises:
        DamagedObject: An object is not what the manifest says, or the manifest's files are not
            those of its digest.
        SlipwayError: The store does not give it.
        OSError: The disk does not take it.
        Stopped: `stop` was set.
    """
    _require_own_files(store, manifest)
    lanes = _Lanes(store, manifest, staging, stop or threading.Event(), received)
    staging.mkdir(parents=True, exist_ok=True)
    # The large ones first: the small ones then fill the other lanes.
    entries = sorted(manifest.files, key=lambda entry: -entry.size)
    lanes.fetch_all(entries)
    _keep_only(staging, manifest)
    (staging / MANIFEST_NAME).write_bytes(manifest.to_bytes())


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
        self._suffix = _suffix_of_none(manifest)
        self._prefix = Layout(manifest.model).version_prefix(manifest.version)
        self._staging = staging
        self._stop = stop
        self._received = received
        self._failed = threading.Event()
        self._pool = ThreadPoolExecutor(_PIECES_IN_MEMORY, "piece")
        self._flushes = ThreadPoolExecutor(1, "flush")
        self._buffers: SimpleQueue[bytearray] = SimpleQueue()
        for _ in range(_PIECES_IN_MEMORY):
            self._buffers.put(bytearray())

    def fetch_all(self, entries: Sequence[FileEntry]) -> None:
        """Puts files in place.

        Raises:
            Exception: The first failure that made the others stop.
        """
        lanes = ThreadPoolExecutor(_PARALLEL_FILES, "download")
        with self._flushes, self._pool, lanes as files:
            tasks = [files.submit(self._fetch, entry) for entry in entries]
            errors = [error for task in tasks if (error := task.exception()) is not None]
        if errors:
            raise next((each for each in errors if not isinstance(each, Stopped)), errors[0])

    def _fetch(self, entry: FileEntry) -> None:
        """Puts one file in place, unless it is there."""
        # A manifest from elsewhere must not write outside the folder.
        target = self._staging / clean_path(entry.path)
        if not is_whole(target, entry):
            partial = target.with_name(target.name + self._suffix)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                self._copy(entry, partial)
                partial.replace(target)
            except BaseException:
                self._failed.set()
                partial.unlink(missing_ok=True)
                raise

    def _copy(self, entry: FileEntry, partial: Path) -> None:
        """Fills a file; what it was filled with must be what is listed."""
        path = f"{self._prefix}/{entry.path}"
        content, size = hashlib.sha256(), 0
        with partial.open("wb") as stream, FlushedFile(stream, self._flushes) as file:
            for block in self._in_order(path, entry.size):
                file.write(block)
                content.update(block)
                size += len(block)
                if size > entry.size:
                    break
                if self._received is not None:
                    self._received(len(block))
        if size != entry.size or content.hexdigest() != entry.sha256:
            raise DamagedObject(f"{self._store.uri}/{path}")

    def _in_order(self, path: str, size: int) -> Iterator[bytes | memoryview]:
        """The blocks of a file; of a large one several pieces are on their way at once."""
        pieces = self._store.read_pieces(path, size)
        if len(pieces) == 1:
            yield from self._blocks(pieces[0])
            return
        ends = [*(piece.start for piece in pieces[1:]), size]
        waiting = deque(zip(pieces, ends, strict=True))
        coming: deque[Future[tuple[bytearray, int]]] = deque()
        while waiting or coming:
            # Other large files want memory, too: each gets on with one piece at least.
            while waiting and (buffer := self._buffer(wait=not coming)) is not None:
                piece, end = waiting.popleft()
                coming.append(self._pool.submit(self._fill, buffer, piece, end - piece.start))
            buffer, filled = coming.popleft().result()
            # Written as one, it would ask for large pages, which a virtual machine may not have.
            for at in range(0, filled, _BLOCK_BYTES):
                yield memoryview(buffer)[at : min(at + _BLOCK_BYTES, filled)]
            self._buffers.put(buffer)

    def _buffer(self, *, wait: bool) -> bytearray | None:
        while True:
            try:
                return self._buffers.get(timeout=_LOOK_SECONDS if wait else 0)
            except Empty:
                if not wait:
                    return None
                self._end_if_over()

    def _fill(self, buffer: bytearray, piece: Piece, size: int) -> tuple[bytearray, int]:
        """Gathers a piece; one that is longer than listed by a byte, by which it is refused."""
        # What a client hands out keeps much more memory than it is long.
        buffer.extend(bytes(max(0, size + 1 - len(buffer))))
        at = 0
        for block in self._blocks(piece):
            count = min(len(block), size + 1 - at)
            buffer[at : at + count] = memoryview(block)[:count]
            at += count
            if at > size:
                break
        return buffer, at

    def _blocks(self, piece: Piece) -> Iterator[bytes | memoryview]:
        self._end_if_over()
        for block in piece.blocks():
            self._end_if_over()
            yield block

    def _end_if_over(self) -> None:
        if self._stop.is_set() or self._failed.is_set():
            raise Stopped


def _suffix_of_none(manifest: Manifest) -> str:
    """What a file is called by while it is gathered: no listed file may have such a name."""
    suffix = _PARTIAL
    while any(entry.path.endswith(suffix) for entry in manifest.files):
        suffix += "~"
    return suffix


def _require_own_files(store: Store, manifest: Manifest) -> None:
    """Whoever validated the version knows it by its digest; other files must not borrow that."""
    if digest_of(manifest.files) != manifest.digest:
        raise DamagedObject(f"{store.uri}/{Layout(manifest.model).manifest(manifest.version)}")


def find_damage(folder: Path, manifest: Manifest) -> str | None:
    """The first file of a folder that is not as listed, None if all are."""
    damaged = (e.path for e in manifest.files if not is_whole(folder / e.path, e))
    return next(damaged, None)


def is_whole(file: Path, entry: FileEntry) -> bool:
    """Whether a file is there with the size and sha256 of the entry."""
    if not file.is_file() or file.stat().st_size != entry.size:
        return False
    return file_digest(file) == entry.sha256


def _keep_only(staging: Path, manifest: Manifest) -> None:
    """Nothing is exposed but what the manifest lists."""
    listed = {staging / entry.path for entry in manifest.files}
    for path in list(staging.rglob("*")):
        if path not in listed and not path.is_dir():
            path.unlink()
    for folder in staging.iterdir():
        if folder.is_dir() and not any(file.is_relative_to(folder) for file in listed):
            shutil.rmtree(folder)
