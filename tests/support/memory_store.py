"""A bucket in memory that says before each of its requests that it comes: for interleavings."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slipway.content import FileEntry, file_digest
from slipway.storage.base import (
    Commit,
    ObjectInfo,
    PreconditionFailed,
    Store,
    StoredObject,
    changed_file,
    clean_path,
    no_such_object,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


class Cells(dict[str, tuple[bytes, str, datetime]]):
    """What a bucket holds: bytes, etag and time by path."""

    def __repr__(self) -> str:
        return f"<{len(self)} objects>"

    def copy(self) -> Cells:
        return Cells(self)


class MemoryStore(Store):
    """Requests one by one as an object store takes them: nothing but a single object is atomic.

    Args:
        cells: What is stored; shared by all who look at the same bucket.
        before: Called before each request.
    """

    _etags = itertools.count(1)

    def __init__(
        self, cells: Cells | None = None, before: Callable[[], None] = lambda: None
    ) -> None:
        self.uri = "memory://bucket"
        self.requests = 0
        self.cells = Cells() if cells is None else cells
        self._before = before

    def get(self, path: str) -> StoredObject | None:
        self._ask()
        found = self.cells.get(clean_path(path))
        return None if found is None else StoredObject(found[0], found[1])

    def read_blocks(self, path: str) -> Iterator[bytes]:
        found = self.get(path)
        if found is None:
            raise no_such_object(self.uri, path)
        yield found.data

    def put(
        self, path: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        self._ask()
        found = self.cells.get(clean_path(path))
        etag = None if found is None else found[1]
        if (if_absent and found is not None) or (if_match is not None and etag != if_match):
            raise PreconditionFailed(path)
        written = f"e{next(self._etags)}"
        self.cells[clean_path(path)] = (data, written, datetime.now(UTC))
        return written

    def list(self, prefix: str) -> Sequence[ObjectInfo]:
        self._ask()
        below = f"{clean_path(prefix)}/" if clean_path(prefix) else ""
        return [
            ObjectInfo(path, len(data), etag, written)
            for path, (data, etag, written) in sorted(self.cells.items())
            if path.startswith(below)
        ]

    def list_folders(self, prefix: str) -> Sequence[str]:
        below = f"{clean_path(prefix)}/" if clean_path(prefix) else ""
        inside = [info.path.removeprefix(below) for info in self.list(prefix)]
        return sorted({path.partition("/")[0] for path in inside if "/" in path})

    def upload(self, local: Path, path: str) -> None:
        self.put(path, local.read_bytes())

    def download(self, path: str, local: Path) -> None:
        local.write_bytes(b"".join(self.read_blocks(path)))

    def delete(self, path: str) -> None:
        self._ask()
        self.cells.pop(clean_path(path), None)

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
        commit_path = f"{clean_path(prefix)}/{commit.path}"
        if self.get(commit_path) is not None:
            raise PreconditionFailed(commit_path)
        for entry in sorted(files, key=lambda entry: entry.path in last):
            if file_digest(folder / entry.path) != entry.sha256:
                raise changed_file(folder / entry.path)
            self.upload(folder / entry.path, f"{clean_path(prefix)}/{entry.path}")
            if progress is not None:
                progress(entry.size)
        self.put(commit_path, commit.data, if_absent=True)

    def discard(self, prefix: str, *, commit: str, first: Sequence[str] = ()) -> None:
        self.delete(f"{clean_path(prefix)}/{commit}")
        leading = {f"{clean_path(prefix)}/{name}" for name in first}
        for info in sorted(self.list(prefix), key=lambda info: info.path not in leading):
            self.delete(info.path)

    def _ask(self) -> None:
        self._before()
        self.requests += 1


class Actor:
    """Somebody who works on a bucket and stops before each of his requests until he may go on.

    Args:
        cells: The bucket.
        work: What he does.
    """

    def __init__(self, cells: Cells, work: Callable[[Store], object]) -> None:
        self.result: object = None
        self.error: Exception | None = None
        self.over = False
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._work = work
        self._store = MemoryStore(cells, self._before)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._stopped.acquire()

    def step(self) -> bool:
        """Lets one request happen; False if he was done before."""
        if self.over:
            return False
        self._go.release()
        self._stopped.acquire()
        return True

    def finish(self) -> None:
        """Lets him work to the end."""
        while self.step():
            pass
        self._thread.join(10)

    def _run(self) -> None:
        try:
            self.result = self._work(self._store)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error
        self.over = True
        self._stopped.release()

    def _before(self) -> None:
        self._stopped.release()
        self._go.acquire()
