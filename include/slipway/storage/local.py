"""A folder as a store: atomic by rename, conditional by lock, durable by fsync."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from slipway.errors import TerminalError, TransientError
from slipway.storage.base import (
    Commit,
    ObjectInfo,
    PreconditionFailed,
    Store,
    StoredObject,
    clean_path,
    no_such_object,
)
from slipway.storage.local_files import (
    ABSENT,
    BLOCK_BYTES,
    OWN,
    clear,
    copy_as_listed,
    etag_of,
    holds_a_file,
    read,
    replacing,
    set_aside,
    sync,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from slipway.content import FileEntry
    from slipway.storage.credentials import StoreCredentials

_LOCK = f"{OWN}.lock"
_STAGING = "_slipway/staging"
# A file where a folder should be, or no right: it will be so the next time.
_FINAL = {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def open_local(uri: str, credentials: StoreCredentials | None) -> LocalStore:
    """Opens ``file:///absolute/folder`` or a plain path; credentials mean nothing here."""
    del credentials
    if not uri.startswith("file://"):
        return LocalStore(Path(uri))
    path = unquote(uri.removeprefix("file://"))
    if not path.startswith("/"):
        raise TerminalError(
            f"{uri} names a host, not a folder.",
            hint="Write file:/// and the absolute path: three slashes.",
            subject=uri,
        )
    return LocalStore(Path(path))


class LocalStore(Store):
    """A folder, shared by processes on one machine.

    Writers exclude each other by a lock on a file, which the kernel drops when its holder dies;
    readers need no lock. Listing reads no large file: see `etag_of`.

    Args:
        root: The folder; made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.uri = self.root.as_uri()
        self.requests = 0

    def get(self, path: str) -> StoredObject | None:
        """See `Store`."""
        with self._asking("read", path):
            try:
                return StoredObject(*read(self._file(path)))
            except OSError as error:
                if error.errno in ABSENT:
                    return None
                raise

    def read_blocks(self, path: str) -> Iterator[bytes]:
        """See `Store`."""
        source = self._file(path)
        with self._asking("read", path):
            if not source.is_file():
                raise no_such_object(self.uri, path)
            with source.open("rb") as stream:
                while block := stream.read(BLOCK_BYTES):
                    yield block

    def put(
        self, path: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        """See `Store`."""
        target = self._file(path)
        with self._asking("write", path), self._lock(self.root):
            if if_absent and target.exists():
                raise PreconditionFailed(path)
            if if_match is not None and etag_of(target) != if_match:
                raise PreconditionFailed(path)
            with replacing(target) as partial:
                partial.write_bytes(data)
            return etag_of(target) or ""

    def list(self, prefix: str) -> Sequence[ObjectInfo]:
        """See `Store`."""
        found = []
        with self._asking("list", prefix):
            for parent, folders, names in os.walk(self._folder(prefix)):
                folders[:] = [name for name in folders if not name.startswith(OWN)]
                for name in names:
                    info = None if name.startswith(OWN) else self._info(Path(parent, name))
                    if info is not None:
                        found.append(info)
        return sorted(found, key=lambda info: info.path)

    def list_folders(self, prefix: str) -> Sequence[str]:
        """See `Store`."""
        with self._asking("list", prefix):
            try:
                children = [Path(entry) for entry in os.scandir(self._folder(prefix))]
            except OSError as error:
                if error.errno in ABSENT:
                    return []
                raise
            return sorted(
                child.name
                for child in children
                if not child.name.startswith(OWN) and child.is_dir() and holds_a_file(child)
            )

    def upload(self, local: Path, path: str) -> None:
        """See `Store`."""
        target = self._file(path)
        with self._asking("write", path), self._lock(self.root), replacing(target) as partial:
            shutil.copyfile(local, partial)

    def download(self, path: str, local: Path) -> None:
        """See `Store`."""
        source = self._file(path)
        with self._asking("read", path):
            if not source.is_file():
                raise no_such_object(self.uri, path)
            with replacing(local) as partial:
                shutil.copyfile(source, partial)

    def delete(self, path: str) -> None:
        """See `Store`."""
        target = self._file(path)
        with self._asking("delete", path):
            if not target.is_file():
                return
            with self._lock(self.root):
                target.unlink(missing_ok=True)
                self._prune(target.parent)

    def place(
        self,
        folder: Path,
        files: Sequence[FileEntry],
        prefix: str,
        *,
        last: Sequence[str] = (),
        commit: Commit,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """See `Store`. Everything is staged beside the target and renamed as one."""
        del last  # nothing is seen before everything is
        target = self._folder(prefix)
        staging = target.parent / _STAGING
        staged = staging / target.name
        with self._asking("write", prefix), self._lock(staging):
            if (target / commit.path).exists():
                raise PreconditionFailed(f"{prefix}/{commit.path}")
            clear(staging)
            for entry in files:
                copy_as_listed(folder / entry.path, staged / entry.path, entry)
                if progress is not None:
                    progress(entry.size)
            with replacing(staged / commit.path) as partial:
                partial.write_bytes(commit.data)
            for parent, _, _ in os.walk(staged):
                sync(Path(parent))
            set_aside(target, staging)
            staged.rename(target)
            sync(target.parent)

    def discard(self, prefix: str, *, commit: str, first: Sequence[str] = ()) -> None:
        """See `Store`. The folder goes as one."""
        del commit, first  # they go together with the rest
        target = self._folder(prefix)
        with self._asking("delete", prefix):
            if target.is_dir():
                staging = target.parent / _STAGING
                with self._lock(staging):
                    clear(staging)
                    set_aside(target, staging)

    def _info(self, file: Path) -> ObjectInfo | None:
        try:
            status = file.stat()
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        etag = etag_of(file)
        if etag is None:
            return None
        written = datetime.fromtimestamp(status.st_mtime, UTC)
        path = file.relative_to(self.root).as_posix()
        return ObjectInfo(path, status.st_size, etag, written)

    def _file(self, path: str) -> Path:
        if not clean_path(path):
            raise TerminalError(
                f"The root of {self.uri} is no object.",
                hint="Name an object below it.",
                subject=path,
            )
        return self._folder(path)

    def _folder(self, prefix: str) -> Path:
        return self.root / clean_path(prefix)

    def _prune(self, folder: Path) -> None:
        """An object store has no empty folders."""
        while folder != self.root and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    @contextmanager
    def _lock(self, folder: Path) -> Iterator[None]:
        folder.mkdir(parents=True, exist_ok=True)
        # A lock of the open file, not of the process: it also holds off other threads.
        with (folder / _LOCK).open("wb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _asking(self, action: str, path: str) -> Iterator[None]:
        self.requests += 1
        try:
            yield
        except OSError as error:
            where = f"{self.uri}/{path}"
            message = f"Could not {action} {where}: {error.strerror or error}."
            if error.errno in _FINAL:
                hint = f"Give this user the right to {action} there, or publish elsewhere."
                raise TerminalError(message, hint=hint, subject=where) from error
            hint = "Check the disk (space, health, mounts), then run the task again."
            raise TransientError(message, hint=hint, subject=where) from error
