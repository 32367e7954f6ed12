"""A folder into a bucket that a server reads directly: sent beside it, copied in by the server."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO, RawIOBase
from typing import IO, TYPE_CHECKING, Any, cast

from slipway.errors import TransientError
from slipway.storage.base import PreconditionFailed, changed_file, clean_path, going

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from slipway.content import FileEntry
    from slipway.storage.base import Commit
    from slipway.storage.gcs import GcsStore

STAGING = "_slipway/staging"
_PARALLEL = 8
# Smaller files are read and checked before the first byte is sent.
_WHOLE_BYTES = 8 << 20


def place(
    store: GcsStore,
    folder: Path,
    files: Sequence[FileEntry],
    prefix: str,
    *,
    last: Sequence[str],
    commit: Commit,
    progress: Callable[[int], None] | None,
) -> None:
    """See `Store.place`.

    Staged objects are named by their sha256, so whoever places the same content may use what
    another has sent. They are deleted only after the commit: one that is missing means that someone
    else has committed.
    """
    work = _Work(store, folder, clean_path(prefix), commit.path, progress)
    if store.get(work.commit_path) is not None:
        raise PreconditionFailed(work.commit_path)
    work.sent.update({info.path: info.size for info in store.list(_staging(prefix))})
    by_content: dict[str, list[FileEntry]] = {}
    for entry in files:
        by_content.setdefault(entry.sha256, []).append(entry)
    _each(work.send, by_content.values())
    by_path = {entry.path: entry for entry in files}
    ending = [by_path.pop(path) for path in last]
    _each(work.move_in, by_path.values())
    for entry in ending:
        work.move_in(entry)
    staged = [work.staged(entries[0]) for entries in by_content.values()]
    try:
        store.put(work.commit_path, commit.data, if_absent=True)
    except PreconditionFailed:
        _each(store.delete, staged)
        raise
    _each(store.delete, staged)


def discard(store: GcsStore, prefix: str, *, commit: str, first: Sequence[str]) -> None:
    """See `Store.discard`."""
    store.delete(f"{clean_path(prefix)}/{commit}")
    leading, others = going(store.list(prefix), prefix, first)
    for path in leading:
        store.delete(path)
    _each(store.delete, others)
    _each(store.delete, [info.path for info in store.list(_staging(prefix))])


def _staging(prefix: str) -> str:
    parent, _, name = clean_path(prefix).rpartition("/")
    return f"{parent}/{STAGING}/{name}" if parent else f"{STAGING}/{name}"


def _each(action: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Calls it for every item, several at a time; the first failure ends it."""
    pool = ThreadPoolExecutor(_PARALLEL)
    try:
        for _ in pool.map(action, items):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Work:
    store: GcsStore
    folder: Path
    prefix: str
    commit_name: str
    progress: Callable[[int], None] | None
    sent: dict[str, int] = field(default_factory=dict)

    @property
    def commit_path(self) -> str:
        return f"{self.prefix}/{self.commit_name}"

    def staged(self, entry: FileEntry) -> str:
        return f"{_staging(self.prefix)}/{entry.sha256}"

    def send(self, same: Sequence[FileEntry]) -> None:
        """Sends files of the same content once, unless it is there already."""
        entry, told = same[0], False
        if self.sent.get(self.staged(entry)) != entry.size:
            with _as_listed(self.folder / entry.path, entry, self.progress) as stream:
                self.store.send(stream, entry.size, self.staged(entry))
            told = entry.size > _WHOLE_BYTES
        if self.progress is not None:
            for each in same[told:]:
                self.progress(each.size)

    def move_in(self, entry: FileEntry) -> None:
        if self.store.copy(self.staged(entry), f"{self.prefix}/{entry.path}"):
            return
        if self.store.get(self.commit_path) is not None:
            raise PreconditionFailed(self.commit_path)
        raise TransientError(
            f"What was sent for {self.store.uri}/{self.prefix} vanished before it was in place.",
            hint="Run the task again; something removed the version, or cleans up beside it.",
            subject=self.prefix,
        )


def _as_listed(local: Path, entry: FileEntry, progress: Callable[[int], None] | None) -> IO[bytes]:
    try:
        if entry.size > _WHOLE_BYTES:
            return cast("IO[bytes]", _Checked(local, entry, progress))
        data = local.read_bytes()
    except FileNotFoundError:
        raise changed_file(local) from None
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise changed_file(local)
    return BytesIO(data)


class _Checked(RawIOBase):
    """A large file; reading its last byte fails if it is not the content that was listed.

    A retry reads some bytes twice; they count once, and the client compares the crc32c of what it
    read first with that of what arrived.
    """

    def __init__(
        self, local: Path, entry: FileEntry, progress: Callable[[int], None] | None
    ) -> None:
        self._progress = progress
        self._local = local
        self._entry = entry
        self._stream = local.open("rb")
        self._content = hashlib.sha256()
        self._hashed = 0

    def read(self, size: int = -1) -> bytes:
        begin = self._stream.tell()
        wanted = self._entry.size - begin
        if 0 <= size < wanted:
            wanted = size
        data = self._stream.read(wanted)
        if len(data) < wanted:
            raise changed_file(self._local)
        fresh = data[max(self._hashed - begin, 0) :]
        self._content.update(fresh)
        self._hashed += len(fresh)
        if fresh and self._progress is not None:
            self._progress(len(fresh))
        if self._hashed == self._entry.size and self._content.hexdigest() != self._entry.sha256:
            raise changed_file(self._local)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        self._stream.close()
        super().close()
