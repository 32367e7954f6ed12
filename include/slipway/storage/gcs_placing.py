"""A folder into a bucket that a server reads directly: sent beside it, copied in by the server."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, RawIOBase
from typing import TYPE_CHECKING, Any

from slipway.errors import TransientError
from slipway.storage.base import PreconditionFailed, changed_file, clean_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from typing import BinaryIO

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
    commit_path = f"{clean_path(prefix)}/{commit.path}"
    if store.get(commit_path) is not None:
        raise PreconditionFailed(commit_path)
    staging = _staging(prefix)
    sent = {info.path: info.size for info in store.list(staging)}

    def send(same: Sequence[FileEntry]) -> None:
        entry = same[0]
        staged = f"{staging}/{entry.sha256}"
        if sent.get(staged) != entry.size:
            with _as_listed(folder / entry.path, entry) as stream:
                store.send(stream, entry.size, staged)
        if progress is not None:
            for each in same:
                progress(each.size)

    def move_in(entry: FileEntry) -> None:
        target = f"{clean_path(prefix)}/{entry.path}"
        if not store.copy(f"{staging}/{entry.sha256}", target):
            raise _overtaken(store, commit_path)

    by_content: dict[str, list[FileEntry]] = {}
    for entry in files:
        by_content.setdefault(entry.sha256, []).append(entry)
    _each(send, by_content.values())
    by_path = {entry.path: entry for entry in files}
    ending = [by_path.pop(path) for path in last]
    _each(move_in, by_path.values())
    for entry in ending:
        move_in(entry)
    try:
        store.put(commit_path, commit.data, if_absent=True)
    except PreconditionFailed:
        _each(store.delete, [f"{staging}/{sha256}" for sha256 in by_content])
        raise
    _each(store.delete, [f"{staging}/{sha256}" for sha256 in by_content])


def discard(store: GcsStore, prefix: str, *, commit: str) -> None:
    """See `Store.discard`."""
    store.delete(f"{clean_path(prefix)}/{commit}")
    _each(store.delete, [info.path for info in store.list(prefix)])
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


def _overtaken(store: GcsStore, commit_path: str) -> Exception:
    if store.get(commit_path) is not None:
        return PreconditionFailed(commit_path)
    return TransientError(
        f"What was sent for {store.uri}/{commit_path} vanished before it was put in place.",
        hint="Run the task again; something else removed the version, or cleans up beside it.",
        subject=commit_path,
    )


def _as_listed(local: Path, entry: FileEntry) -> BinaryIO:
    try:
        if entry.size > _WHOLE_BYTES:
            return _Checked(local, entry)  # type: ignore[return-value] - BinaryIO is what it is used as
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

    def __init__(self, local: Path, entry: FileEntry) -> None:
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
