"""S3 and everything that speaks its protocol, by obstore (Rust's object_store)."""

from __future__ import annotations

import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
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
    changed_file,
    clean_path,
    no_such_object,
)
from slipway.storage.credentials import StoreCredentials
from slipway.storage.s3_errors import refuse_missing_bucket, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from slipway.content import FileEntry

# The retry budget: a server that refuses or drops connections, or answers 5xx, is asked again up
# to 4 times; one that cannot be reached is given up after about 20 seconds, one that takes a
# request and stays silent after about a minute.
_RETRIES: store.RetryConfig = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CONNECT_SECONDS = 3
_SILENCE_SECONDS = 60
_REQUEST_SECONDS = 600
_PARALLEL_FILES = 8
# S3 wants parts of 5 MiB at least; smaller files go in one request.
_PART_BYTES = 8 << 20
_PARALLEL_PARTS = 4  # of a file, each of them in memory
_PIECE_BYTES = 32 << 20
_READ_BYTES = 256 << 10
_BEYOND_THE_END = "InvalidRange"


def open_s3(uri: str, credentials: StoreCredentials | None) -> S3Store:
    """Opens ``s3://bucket/prefix``."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise TerminalError(
            f"{uri} names no bucket.", hint="Write s3://bucket/prefix.", subject=uri
        )
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise TerminalError(
            f"{bucket!r} is no name for an S3 bucket.",
            hint="Names have 3 to 63 of a-z, 0-9, '-' and '.', and begin and end with a letter or "
            "digit.",
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
        self._bucket = _connect(bucket, prefix, credentials)

    def get(self, path: str) -> StoredObject | None:
        """See `Store`."""
        with self._asking("read", path):
            try:
                found = obstore.get(self._bucket, clean_path(path))
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
                found = obstore.get(self._bucket, clean_path(path), options=options)
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
                found = obstore.get(self._bucket, clean_path(path), options=options)
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
            written = obstore.put(
                self._bucket, clean_path(path), data, mode=mode, use_multipart=False
            )
        return written["e_tag"] or ""

    def list(self, prefix: str) -> Sequence[ObjectInfo]:
        """See `Store`."""
        with self._asking("list", prefix):
            found = obstore.list(self._bucket, clean_path(prefix) or None).collect()
        infos = [
            ObjectInfo(meta["path"], meta["size"], meta["e_tag"] or "", meta["last_modified"])
            for meta in found
        ]
        return sorted(infos, key=lambda info: info.path)

    def list_folders(self, prefix: str) -> Sequence[str]:
        """See `Store`."""
        with self._asking("list", prefix):
            found = obstore.list_with_delimiter(self._bucket, clean_path(prefix) or None)
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found["common_prefixes"])

    def upload(self, local: Path, path: str) -> None:
        """See `Store`."""
        with self._asking("write", path):
            obstore.put(
                self._bucket,
                clean_path(path),
                local,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARALLEL_PARTS,
            )

    def download(self, path: str, local: Path) -> None:
        """See `Store`."""
        local.parent.mkdir(parents=True, exist_ok=True)
        partial = local.with_name(f".{local.name}.{os.getpid()}.partial")
        try:
            with self._asking("read", path):
                try:
                    blocks = obstore.get(self._bucket, clean_path(path)).stream(_PART_BYTES)
                except FileNotFoundError as error:
                    refuse_missing_bucket(error)
                    raise no_such_object(self.uri, path) from None
                with partial.open("wb") as stream:
                    for block in blocks:
                        stream.write(block)
            partial.replace(local)
        finally:
            partial.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        """See `Store`."""
        with self._asking("delete", path):
            try:
                obstore.delete(self._bucket, clean_path(path))
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
            self._send(folder / entry.path, entry, f"{clean_path(prefix)}/{entry.path}")
            if progress is not None:
                progress(entry.size)

        by_path = {entry.path: entry for entry in files}
        ending = [by_path.pop(path) for path in last]
        pool = ThreadPoolExecutor(_PARALLEL_FILES)
        try:
            for _ in pool.map(send, by_path.values()):
                pass
        finally:
            pool.shutdown(cancel_futures=True)
        for entry in ending:
            send(entry)
        self.put(commit_path, commit.data, if_absent=True)

    def discard(self, prefix: str, *, commit: str) -> None:
        """See `Store`."""
        self.delete(f"{clean_path(prefix)}/{commit}")
        for info in self.list(prefix):
            self.delete(info.path)

    def _send(self, local: Path, entry: FileEntry, path: str) -> None:
        with self._asking("write", path):
            if entry.size <= _PART_BYTES:
                data = b"".join(_as_listed(local, entry))
                obstore.put(self._bucket, path, data, use_multipart=False)
            else:
                # An upload whose source raises is aborted: the object never appears.
                obstore.put(
                    self._bucket,
                    path,
                    _as_listed(local, entry),
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARALLEL_PARTS,
                )

    @contextmanager
    def _asking(self, action: str, path: str) -> Iterator[None]:
        with self._counting:
            self.requests += 1
        try:
            yield
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            raise PreconditionFailed(path) from None
        except SlipwayError:
            raise
        except (exceptions.BaseError, FileNotFoundError) as error:
            # The original would carry requests and answers into logs: only its gist goes on.
            raise translated(error, action, f"{self.uri}/{path}".rstrip("/"), self._who) from None


def _connect(bucket: str, prefix: str, credentials: StoreCredentials) -> store.S3Store:
    endpoint = credentials.endpoint_url
    if endpoint is not None and credentials.access_key_id is None:
        raise TerminalError(
            f"No keys are given for the S3 endpoint {endpoint}.",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the Airflow connection.",
            subject="AWS_ACCESS_KEY_ID",
        )
    config: store.S3Config = {"region": credentials.region or "us-east-1"}
    if endpoint is not None:
        config["endpoint"] = endpoint.rstrip("/")
    if credentials.access_key_id is not None:
        config["access_key_id"] = credentials.access_key_id
    if credentials.secret_access_key is not None:
        config["secret_access_key"] = credentials.secret_access_key.get_secret_value()
    if credentials.session_token is not None:
        config["session_token"] = credentials.session_token.get_secret_value()
    allow_http = credentials.allow_http
    if allow_http is None:
        allow_http = endpoint is not None and endpoint.startswith("http://")
    return store.S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options={
            "allow_http": allow_http,
            "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=_SILENCE_SECONDS),
            "timeout": timedelta(seconds=_REQUEST_SECONDS),
        },
        retry_config=_RETRIES,
    )


def _as_listed(local: Path, entry: FileEntry) -> Iterator[bytes]:
    """Yields a file's blocks; raises at its end if it is not the content that was listed."""
    content = sha256()
    try:
        stream = local.open("rb")
    except FileNotFoundError:
        raise changed_file(local) from None
    with stream:
        while block := stream.read(_PART_BYTES):
            content.update(block)
            yield block
    if content.hexdigest() != entry.sha256:
        raise changed_file(local)
