"""What every store promises; `tests/contract/storage` holds each one to it."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from slipway.errors import TerminalError, TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from slipway.content import FileEntry


_ACCESS_PROBE = "_slipway_access_probe"


class PreconditionFailed(TransientError):  # noqa: N818 - HTTP's own name for it
    """A conditional write lost: the object is not as the writer had seen it. Read it again."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} was written by someone else since it was last read.",
            hint="Read it again and decide anew.",
            subject=path,
        )

    def __reduce__(self) -> tuple[type[PreconditionFailed], tuple[str | None]]:
        return type(self), (self.subject,)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it was read."""

    data: bytes
    etag: str


class Unchanged(Enum):
    """The answer to a conditional read of an object that is as it was."""

    UNCHANGED = auto()


UNCHANGED = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One line of a listing.

    Attributes:
        path: Relative to the store.
        size: In bytes.
        etag: As `Store.get` gives it.
        modified_at: When it was written, by the store's clock; None if the store does not say.
    """

    path: str
    size: int
    etag: str
    modified_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an object: where it begins, and what reads its blocks as `Store.read_blocks`."""

    start: int
    blocks: Callable[[], Iterator[bytes | memoryview]]


@dataclass(frozen=True, slots=True)
class Commit:
    """The object that makes a placed folder exist: its path in the folder, and its bytes."""

    path: str
    data: bytes


class Store(ABC):
    """A bucket with a prefix, or a folder.

    Paths are relative to `uri`, with forward slashes; what a path means never depends on the
    scheme. Writes are atomic: a reader gets the old object or the new one. An etag changes
    whenever the content changes; it says nothing else. Every method raises TerminalError for wrong
    credentials, a missing bucket or an impossible path, and TransientError once the retry budget
    of the store is used up.

    Attributes:
        uri: Where the store is, without credentials and without a trailing slash.
        requests: Operations asked of the store since it was opened.
    """

    uri: str
    requests: int

    @abstractmethod
    def get(self, path: str) -> StoredObject | None:
        """Reads a whole object into memory; None if there is none."""

    def get_if_changed(self, path: str, etag: str) -> StoredObject | Unchanged | None:
        """Reads an object unless it still has this etag: one request, in either case.

        Args:
            path: Where.
            etag: As an earlier read returned it.

        Returns:
            `UNCHANGED`, the object as it is now, or None if there is none.
        """
        found = self.get(path)
        return UNCHANGED if found is not None and found.etag == etag else found

    @abstractmethod
    def read_blocks(self, path: str) -> Iterator[bytes | memoryview]:
        """Reads an object block by block, in order, a few MiB in memory at a time.

        Raises:
            TerminalError: There is no such object.
        """

    def read_pieces(self, path: str, size: int) -> Sequence[Piece]:
        """Cuts an object into pieces that may be read at the same time; nothing is asked yet.

        An object of another size than the caller thinks yields another number of bytes.

        Args:
            path: Where.
            size: In bytes, as the caller knows it.
        """
        del size
        return [Piece(0, lambda: self.read_blocks(path))]

    @abstractmethod
    def put(
        self, path: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        """Writes a whole object.

        Args:
            path: Where.
            data: All of it.
            if_absent: Write only if there is no such object.
            if_match: Write only if the object has this etag.

        Returns:
            The etag of what was written.

        Raises:
            PreconditionFailed: The condition did not hold; nothing was written.
        """

    @abstractmethod
    def list(self, prefix: str) -> Sequence[ObjectInfo]:
        """Lists every object below a folder, at any depth, sorted by path."""

    @abstractmethod
    def list_folders(self, prefix: str) -> Sequence[str]:
        """Names the folders directly below a folder, sorted; names only, without the prefix.

        A folder whose last object was deleted may be named for a while.
        """

    @abstractmethod
    def upload(self, local: Path, path: str) -> None:
        """Copies a file into the store without holding it in memory."""

    @abstractmethod
    def download(self, path: str, local: Path) -> None:
        """Copies an object to a file, which appears whole or not at all.

        Raises:
            TerminalError: There is no such object.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Deletes an object; one that is not there is no error."""

    @abstractmethod
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
        """Puts a whole folder in place so that no reader takes a half one for whole.

        The commit object appears after every file, the files of `last` after all others, in their
        order; in a local folder everything appears at once. Whatever a killed attempt left is
        overwritten.

        Args:
            folder: Where the files lie.
            files: What to copy. Content that is no longer as listed is never committed.
            prefix: The folder in the store.
            last: Paths of `files` that a server takes for the sign of a complete folder.
            commit: The commit marker.
            progress: Called with numbers of bytes that were sent: of a small file once it has
                arrived, of a large one block by block; from any thread.

        Raises:
            PreconditionFailed: The commit object is already there.
            TerminalError: A file changed since it was listed; it names the file.
        """

    @abstractmethod
    def discard(self, prefix: str, *, commit: str, first: Sequence[str] = ()) -> None:
        """Removes a folder that `place` put there, so that it is never half.

        Args:
            prefix: The folder.
            commit: The commit object in it, which goes before everything else.
            first: Paths in it that a server takes for the sign of a complete folder: they go next,
                in this order.
        """

    def prove_removal(self, prefix: str) -> None:
        """Proves, by doing so, that a folder may be listed and deleted from; two requests.

        Raises:
            TerminalError: The store refuses, with the action that was denied.
            TransientError: It does not answer.
        """
        self.list_folders(prefix)
        self.delete(f"{prefix}/{_ACCESS_PROBE}")

    def check_access(self) -> None:
        """Proves that this store can be listed, written, read and deleted from, by doing so.

        Also that it honours conditional writes, on which version numbers and channels stand: some
        servers that speak S3 ignore the condition.

        Raises:
            TerminalError: Wrong key, no right or no bucket, with the action that failed, or
                conditions are ignored; within 10 seconds.
            TransientError: The endpoint does not answer, after the retry budget of the store.
        """
        probe = f"{_ACCESS_PROBE}/{uuid.uuid4().hex}"
        self.list_folders("")
        written = self.put(probe, b"slipway", if_absent=True)
        try:
            self._expect_refusal(probe, if_absent=True)
            self.put(probe, b"slipway 2", if_match=written)
            self._expect_refusal(probe, if_match=written)
            found = self.get(probe)
        finally:
            self.delete(probe)
        if found is None or found.data != b"slipway 2":
            raise TerminalError(
                f"{self.uri} does not return what was written to it.",
                hint="Check what stands between Slipway and the store: a cache or a proxy.",
                subject=self.uri,
            )

    def _expect_refusal(
        self, path: str, *, if_absent: bool = False, if_match: str | None = None
    ) -> None:
        try:
            self.put(path, b"wrong", if_absent=if_absent, if_match=if_match)
        except PreconditionFailed:
            return
        raise TerminalError(
            f"{self.uri} ignores conditional writes (If-Match, If-None-Match).",
            hint="Publish to a server that honours them: AWS S3, a current MinIO, Ceph, SeaweedFS.",
            subject=self.uri,
        )


def clean_path(path: str) -> str:
    """Returns the path without a trailing slash.

    Raises:
        TerminalError: The path is absolute, or has an empty part, ``.``, ``..``, a backslash or a
            character that cannot be printed.
    """
    trimmed = path.removesuffix("/")
    if trimmed and (
        not trimmed.isprintable()
        or any(part in {"", ".", ".."} or "\\" in part for part in trimmed.split("/"))
    ):
        raise TerminalError(
            f"{path!r} is not a path inside a store.",
            hint="Use a relative path of plain names, joined by forward slashes.",
            subject=path,
        )
    return trimmed


def going(
    found: Sequence[ObjectInfo], prefix: str, first: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Of a folder's objects the paths that go first, in that order, and the others."""
    paths = [info.path for info in found]
    leading = [path for name in first if (path := f"{clean_path(prefix)}/{name}") in paths]
    return leading, [path for path in paths if path not in leading]


def no_such_object(uri: str, path: str) -> TerminalError:
    """The error of a read that needs an object which is not there."""
    return TerminalError(
        f"There is no object {uri}/{path}.",
        hint="Check that the version exists and was not removed: `slipway versions`.",
        subject=path,
    )


def changed_file(path: Path) -> TerminalError:
    """The error of a file that is no longer what it was when it was listed."""
    return TerminalError(
        f"{path} changed or vanished since it was listed to be published.",
        hint="Nothing was published. Find what writes there, make the artifact again and retry.",
        subject=str(path),
    )
