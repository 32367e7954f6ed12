"""Google Cloud Storage, by Google's own client."""

from __future__ import annotations

import os
import re
import threading
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage import Client
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from slipway.errors import TerminalError
from slipway.storage.base import (
    UNCHANGED,
    ObjectInfo,
    PreconditionFailed,
    Store,
    StoredObject,
    clean_path,
    no_such_object,
)
from slipway.storage.blocks import Block
from slipway.storage.credentials import StoreCredentials
from slipway.storage.gcs_errors import translated
from slipway.storage.gcs_placing import discard, place
from slipway.storage.gcs_retries import CALL, SEND, anew, patiently
from slipway.storage.google_login import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from slipway.content import FileEntry
    from slipway.storage.base import Commit, Unchanged

_NO_SIDE_REQUESTS = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_LONGEST_PART = 63  # between dots
_SMALL_BYTES = 1 << 20
# Of larger files so much is held in memory at a time; a multiple of 256 KiB.
_CHUNK_BYTES = 16 << 20
# Of a reader, in each of its lanes: all that it holds at a time.
_BLOCK_BYTES = 1 << 20
# Without it Google lets caches answer for an hour if the bucket is public.
_CACHE_CONTROL = "no-store"
_FAILURES = (
    api.GoogleAPIError,
    auth.GoogleAuthError,
    requests.RequestException,
    InvalidResponse,
    DataCorruption,
)


def open_gcs(uri: str, credentials: StoreCredentials | None) -> GcsStore:
    """Opens ``gs://bucket/prefix``."""
    bucket, _, prefix = uri.removeprefix("gs://").partition("/")
    parts = bucket.split(".")
    if (
        not _BUCKET.fullmatch(bucket)
        or bucket.startswith("goog")
        or not all(0 < len(part) <= _LONGEST_PART for part in parts)
    ):
        raise TerminalError(
            f"{uri} names no bucket." if not bucket else f"{bucket!r} is no name for a GCS bucket.",
            hint="Write gs://bucket/prefix. Names have 3 to 63 of a-z, 0-9, '-', '_' and '.', "
            "begin and end with a letter or digit, and do not begin with goog.",
            subject=uri,
        )
    return GcsStore(bucket, prefix, credentials or StoreCredentials.from_environment())


class GcsStore(Store):
    """A bucket, or a folder in one. Etags are generations.

    Args:
        bucket: Its name; it must exist.
        prefix: The folder in it; may be empty.
        credentials: Who asks, and where.
    """

    def __init__(self, bucket: str, prefix: str, credentials: StoreCredentials) -> None:
        prefix = clean_path(prefix)
        self.uri = f"gs://{bucket}/{prefix}" if prefix else f"gs://{bucket}"
        self.requests = 0
        self._name = bucket
        self._base = f"{prefix}/" if prefix else ""
        self._credentials = credentials
        self._counting = threading.Lock()
        self._bucket_seen = False

    def get(self, path: str) -> StoredObject | None:
        """See `Store`. The bytes are checked against Google's crc32c."""
        with self._asking("read", path):
            return self._read(path)

    def get_if_changed(self, path: str, etag: str) -> StoredObject | Unchanged | None:
        """See `Store`."""
        with self._asking("read", path):
            try:
                found = self._read(path, if_generation_not_match=int(etag))
            except api.NotModified:
                return UNCHANGED
            # Some servers that speak the protocol ignore this condition.
            return UNCHANGED if found is not None and found.etag == etag else found

    def read_blocks(self, path: str) -> Iterator[memoryview]:
        """See `Store`. One request for each MiB, all of the same generation."""
        with self._asking("read", path):
            blob, start, generation = self._blob(path), 0, None

            def read() -> memoryview:
                block = Block(_BLOCK_BYTES)
                part = {"start": start, "end": start + _BLOCK_BYTES - 1}
                blob.download_to_file(block, **part, if_generation_match=generation, **CALL)
                return block.take()

            while True:
                try:
                    block = patiently(read)
                except api.RequestRangeNotSatisfiable:
                    return
                except api.NotFound as error:
                    self._refuse_missing_bucket(error)
                    raise no_such_object(self.uri, path) from None
                generation = blob.generation
                start += len(block)
                yield block
                if len(block) < _BLOCK_BYTES:
                    return

    def put(
        self, path: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        """See `Store`."""
        condition = None
        if if_absent:
            condition = 0
        elif if_match is not None:
            condition = int(if_match)
        with self._asking("write", path):
            blob = self._blob(path)
            patiently(
                lambda: blob.upload_from_string(
                    data,
                    content_type="application/octet-stream",
                    checksum="crc32c",
                    if_generation_match=condition,
                    **(SEND if len(data) > _SMALL_BYTES else CALL),
                )
            )
        return str(blob.generation)

    def list(self, prefix: str) -> Sequence[ObjectInfo]:
        """See `Store`."""
        with self._asking("list", prefix):
            found = self._client.list_blobs(
                self._name,
                prefix=self._below(prefix),
                fields="items(name,size,generation,updated),nextPageToken",
                **CALL,
            )
            infos = [
                ObjectInfo(
                    blob.name.removeprefix(self._base),
                    blob.size,
                    str(blob.generation),
                    blob.updated,
                )
                for blob in found
            ]
        return sorted(infos, key=lambda info: info.path)

    def list_folders(self, prefix: str) -> Sequence[str]:
        """See `Store`."""
        with self._asking("list", prefix):
            found = self._client.list_blobs(
                self._name,
                prefix=self._below(prefix),
                delimiter="/",
                fields="prefixes,nextPageToken",
                **CALL,
            )
            for _ in found.pages:
                pass
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found.prefixes)

    def upload(self, local: Path, path: str) -> None:
        """See `Store`."""
        with local.open("rb") as stream:
            self.send(stream, local.stat().st_size, path)

    def send(self, stream: IO[bytes], size: int, path: str) -> None:
        """Uploads so many bytes; an upload whose stream raises leaves no object.

        The crc32c of what was read is checked by the server.
        """
        with self._asking("write", path):
            blob = self._blob(path)
            # Only a resumable upload wants chunks.
            blob.chunk_size = _CHUNK_BYTES if size > _CHUNK_BYTES else None
            anew(
                lambda: blob.upload_from_file(
                    stream,
                    rewind=True,
                    size=size,
                    content_type="application/octet-stream",
                    checksum="crc32c",
                    **SEND,
                )
            )

    def copy(self, source: str, target: str) -> bool:
        """Copies an object inside the bucket without moving its bytes; False if there is none."""
        with self._asking("write", target):
            blob, staged = self._blob(target), self._blob(source)
            try:
                token, _, _ = blob.rewrite(staged, **CALL)
                while token is not None:
                    token, _, _ = blob.rewrite(staged, token=token, **CALL)
            except api.NotFound as error:
                self._refuse_missing_bucket(error)
                return False
        return True

    def download(self, path: str, local: Path) -> None:
        """See `Store`. The bytes are checked against Google's crc32c."""
        local.parent.mkdir(parents=True, exist_ok=True)
        partial = local.with_name(f".{local.name}.{os.getpid()}.partial")
        try:
            with self._asking("read", path), partial.open("wb") as stream:
                blob = self._blob(path)

                def read() -> None:
                    stream.truncate(0)
                    stream.seek(0)
                    blob.download_to_file(stream, checksum="crc32c", **CALL)

                try:
                    patiently(read)
                except api.NotFound as error:
                    self._refuse_missing_bucket(error)
                    raise no_such_object(self.uri, path) from None
            partial.replace(local)
        finally:
            partial.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        """See `Store`."""
        with self._asking("delete", path):
            blob = self._blob(path)
            try:
                blob.delete(**CALL)
            except api.NotFound as error:
                self._refuse_missing_bucket(error)

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
        """See `Store`. Files go up beside the folder and are copied into it by the server.

        A server that reads the bucket itself so sees the folder for a moment only before it is
        whole. What a killed attempt has sent is not sent again. Requests: 3 a file, and 3.
        """
        place(self, folder, files, prefix, last=last, commit=commit, progress=progress)

    def discard(self, prefix: str, *, commit: str, first: Sequence[str] = ()) -> None:
        """See `Store`."""
        discard(self, prefix, commit=commit, first=first)

    def _read(self, path: str, **condition: int) -> StoredObject | None:
        blob = self._blob(path)
        try:
            data = patiently(lambda: blob.download_as_bytes(checksum="crc32c", **condition, **CALL))
        except api.NotFound as error:
            self._refuse_missing_bucket(error)
            return None
        return StoredObject(data, str(blob.generation))

    @contextmanager
    def _asking(self, action: str, path: str) -> Iterator[None]:
        with self._counting:
            self.requests += 1
        try:
            yield
        except api.PreconditionFailed:
            raise PreconditionFailed(path) from None
        except _FAILURES as error:
            # The original would carry requests and answers into logs: only its gist goes on.
            connection = self._credentials.connection
            who = f" with the connection {connection}" if connection else ""
            raise translated(error, action, f"{self.uri}/{path}".rstrip("/"), who) from None
        self._bucket_seen = True

    @cached_property
    def _client(self) -> Any:
        # Else the client asks for the bucket on the side, for traces that nobody reads here.
        os.environ.setdefault(_NO_SIDE_REQUESTS, "true")
        google_ = self._credentials.google
        options = {"api_endpoint": google_.endpoint_url} if google_.endpoint_url else None
        return Client(
            project=google_.project, credentials=identity(self._credentials), client_options=options
        )

    def _blob(self, path: str) -> Any:
        blob = self._client.bucket(self._name).blob(f"{self._base}{clean_path(path)}")
        blob.cache_control = _CACHE_CONTROL
        return blob

    def _below(self, prefix: str) -> str | None:
        folder = clean_path(prefix)
        return (f"{self._base}{folder}/" if folder else self._base) or None

    def _refuse_missing_bucket(self, error: api.NotFound) -> None:
        """Raises the error again if it is the bucket that is missing, not just the object."""
        if self._bucket_seen or "No such object" in str(error):
            return
        # Who may only read learns no more than that there is no object.
        with suppress(api.Forbidden):
            next(iter(self._client.list_blobs(self._name, max_results=1, **CALL)), None)
        self._bucket_seen = True
