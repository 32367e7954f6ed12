"""S3 and everything that speaks its protocol, by obstore (Rust's object_store)."""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore
from obstore import exceptions, store

from slipway.errors import SlipwayError, TerminalError
from slipway.storage.base import (
    UNCHANGED,
    Commit,
    ObjectInfo,
    Piece,
    PreconditionFailed,
    Store,
    StoredObject,
    Unchanged,
    clean_path,
    going,
    no_such_object,
)
from slipway.storage.credentials import StoreCredentials
from slipway.storage.s3_errors import refuse_missing_bucket, translated
from slipway.storage.s3_login import login, wrong_setting
from slipway.storage.s3_retries import (
    RETRIES,
    SENDING_SECONDS,
    SILENCE_SECONDS,
    patiently,
    timeouts,
)
from slipway.storage.s3_sending import PARALLEL_PARTS, PART_BYTES, send_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from slipway.content import FileEntry
    from slipway.storage.s3_login import Login

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IP_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_PARALLEL_FILES = 8
_PIECE_BYTES = 8 << 20
_READ_BYTES = 256 << 10
_BEYOND_THE_END = "InvalidRange"
_SMALL_BYTES = 1 << 20


def open_s3(uri: str, credentials: StoreCredentials | None) -> S3Store:
    """Opens ``s3://bucket/prefix``."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise TerminalError(
            f"{uri} names no bucket.", hint="Write s3://bucket/prefix.", subject=uri
        )
    if not _BUCKET.fullmatch(bucket) or ".." in bucket or _IP_ADDRESS.fullmatch(bucket):
        raise TerminalError(
            f"{bucket!r} is no name for an S3 bucket.",
            hint="Names have 3 to 63 of a-z, 0-9, '-' and '.', begin and end with a letter or "
            "digit, and are no IP address.",
            subject=uri,
        )
    return S3Store(bucket, prefix, credentials or StoreCredentials.from_environment())


class S3Store(Store):
    """A bucket, or a folder in one.

    Args:
        bucket: Its name; it must exist.
        prefix: The folder in it; may be empty.
        credentials: Who asks, and where.
    """

    def __init__(self, bucket: str, prefix: str, credentials: StoreCredentials) -> None:
        prefix = clean_path(prefix)
        self.uri = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
        self.requests = 0
        self._counting = threading.Lock()
        connection = credentials.connection
        self._who = f" with the connection {connection}" if connection else ""
        who = login(credentials)
        try:
            self._bucket = _connect(bucket, prefix, who, SILENCE_SECONDS)
            self._uploads = _connect(bucket, prefix, who, SENDING_SECONDS)
        except (exceptions.BaseError, ValueError) as error:
            raise wrong_setting(error, credentials) from None

    def get(self, path: str) -> StoredObject | None:
        """See `Store`."""
        with self._asking("read", path):
            try:
                found = patiently(lambda: obstore.get(self._bucket, clean_path(path)))
                data = bytes(found.bytes())
            except FileNotFoundError as error:
                refuse_missing_bucket(error)
                return None
            return StoredObject(data, found.meta["e_tag"] or "")

    def get_if_changed(self, path: str, etag: str) -> StoredObject | Unchanged | None:
        """See `Store`."""
        with self._asking("read", path):
            try:
                options: obstore.GetOptions = {"if_none_match": etag}
                found = patiently(
                    lambda: obstore.get(self._bucket, clean_path(path), options=options)
                )
                data = bytes(found.bytes())
            except exceptions.NotModifiedError:
                return UNCHANGED
            except FileNotFoundError as error:
                refuse_missing_bucket(error)
                return None
            return StoredObject(data, found.meta["e_tag"] or "")

    def read_blocks(self, path: str) -> Iterator[memoryview]:
        """See `Store`."""
        yield from self._stream(path, {})

    def read_pieces(self, path: str, size: int) -> Sequence[Piece]:
        """See `Store`. One request a piece."""

        def piece(start: int) -> Piece:
            # The last has no end: an object that is longer than its reader thinks must show.
            part: tuple[int, int] | obstore.OffsetRange = (start, start + _PIECE_BYTES)
            if start + _PIECE_BYTES >= size:
                part = {"offset": start}
            return Piece(start, lambda: self._stream(path, {"range": part}))

        if size <= _PIECE_BYTES:
            return super().read_pieces(path, size)
        return [piece(start) for start in range(0, size, _PIECE_BYTES)]

    def _stream(self, path: str, options: obstore.GetOptions) -> Iterator[memoryview]:
        with self._asking("read", path):
            try:
                found = patiently(
                    lambda: obstore.get(self._bucket, clean_path(path), options=options)
                )
            except FileNotFoundError as error:
                refuse_missing_bucket(error)
                raise no_such_object(self.uri, path) from None
            except exceptions.GenericError as error:
                if _BEYOND_THE_END in str(error):
                    return
                raise
            for block in found.stream(_READ_BYTES):
                yield memoryview(block)

    def put(
        self, path: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        """See `Store`."""
        mode: obstore.PutMode = "overwrite"
        if if_absent:
            mode = "create"
        elif if_match is not None:
            mode = {"e_tag": if_match}
        with self._asking("write", path):
            bucket = self._uploads if len(data) > _SMALL_BYTES else self._bucket
            try:
                written = patiently(
                    lambda: obstore.put(
                        bucket, clean_path(path), data, mode=mode, use_multipart=False
                    )
                )
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                if mode == "overwrite":
                    raise
                raise PreconditionFailed(path) from None
        return written["e_tag"] or ""

    def list(self, prefix: str) -> Sequence[ObjectInfo]:
        """See `Store`."""
        with self._asking("list", prefix):
            below = clean_path(prefix) or None
            found = patiently(lambda: obstore.list(self._bucket, below).collect())
        infos = [
            ObjectInfo(meta["path"], meta["size"], meta["e_tag"] or "", meta["last_modified"])
            for meta in found
        ]
        return sorted(infos, key=lambda info: info.path)

    def list_folders(self, prefix: str) -> Sequence[str]:
        """See `Store`."""
        with self._asking("list", prefix):
            below = clean_path(prefix) or None
            found = patiently(lambda: obstore.list_with_delimiter(self._bucket, below))
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found["common_prefixes"])

    def upload(self, local: Path, path: str) -> None:
        """See `Store`."""
        with self._asking("write", path):
            obstore.put(
                self._uploads,
                clean_path(path),
                local,
                chunk_size=PART_BYTES,
                max_concurrency=PARALLEL_PARTS,
            )

    def download(self, path: str, local: Path) -> None:
        """See `Store`."""
        local.parent.mkdir(parents=True, exist_ok=True)
        partial = local.with_name(f".{local.name}.{os.getpid()}.partial")
        try:
            with self._asking("read", path):
                try:
                    found = patiently(lambda: obstore.get(self._bucket, clean_path(path)))
                except FileNotFoundError as error:
                    refuse_missing_bucket(error)
                    raise no_such_object(self.uri, path) from None
                with partial.open("wb") as stream:
                    for block in found.stream(PART_BYTES):
                        stream.write(block)
            partial.replace(local)
        finally:
            partial.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        """See `Store`."""
        with self._asking("delete", path):
            try:
                patiently(lambda: obstore.delete(self._bucket, clean_path(path)))
            except FileNotFoundError as error:
                refuse_missing_bucket(error)

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
        """See `Store`. Files go in parallel, then those of `last`, then the commit object."""
        commit_path = f"{clean_path(prefix)}/{commit.path}"
        if self.get(commit_path) is not None:
            raise PreconditionFailed(commit_path)

        def send(entry: FileEntry) -> None:
            path = f"{clean_path(prefix)}/{entry.path}"
            self._send(folder / entry.path, entry, path, progress)

        by_path = {entry.path: entry for entry in files}
        ending = [by_path.pop(path) for path in last]
        pool = ThreadPoolExecutor(_PARALLEL_FILES)
        try:
            # The large ones first: the small ones then fill the other lanes.
            for _ in pool.map(send, sorted(by_path.values(), key=lambda entry: -entry.size)):
                pass
        finally:
            pool.shutdown(cancel_futures=True)
        for entry in ending:
            send(entry)
        self.put(commit_path, commit.data, if_absent=True)

    def discard(self, prefix: str, *, commit: str, first: Sequence[str] = ()) -> None:
        """See `Store`."""
        self.delete(f"{clean_path(prefix)}/{commit}")
        leading, others = going(self.list(prefix), prefix, first)
        for path in (*leading, *others):
            self.delete(path)

    def _send(
        self, local: Path, entry: FileEntry, path: str, progress: Callable[[int], None] | None
    ) -> None:
        with self._asking("write", path):
            send_file(self._uploads, path, local, entry, progress)

    @contextmanager
    def _asking(self, action: str, path: str) -> Iterator[None]:
        with self._counting:
            self.requests += 1
        try:
            yield
        except SlipwayError:
            raise
        except (exceptions.BaseError, FileNotFoundError) as error:
            # The original would carry requests and answers into logs: only its gist goes on.
            raise translated(error, action, f"{self.uri}/{path}".rstrip("/"), self._who) from None


def _connect(bucket: str, prefix: str, who: Login, silence_seconds: float) -> store.S3Store:
    return store.S3Store(
        bucket,
        prefix=prefix or None,
        config=who.config,
        client_options={**who.client, **timeouts(silence_seconds)},
        retry_config=RETRIES,
        credential_provider=who.provider,
    )
