"""Sending a file to S3: in one request or in parts, and only if it is what was listed."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import obstore

from slipway.storage.base import changed_file
from slipway.storage.s3_retries import patiently

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from obstore import store

    from slipway.content import FileEntry

# S3 wants parts of 5 MiB at least; smaller files go in one request.
PART_BYTES = 8 << 20
PARALLEL_PARTS = 4  # of a file, each of them in memory


def send_file(
    bucket: store.S3Store,
    path: str,
    local: Path,
    entry: FileEntry,
    progress: Callable[[int], None] | None,
) -> None:
    """Uploads a file; one that is not as listed leaves no object.

    Args:
        bucket: Where to.
        path: The object's path in it.
        local: The file.
        entry: The file as it was listed.
        progress: Called with numbers of bytes that were sent, each byte once.

    Raises:
        TerminalError: The file is no longer what was listed.
        obstore.exceptions.BaseError: The server refuses, or does not answer.
    """
    if entry.size <= PART_BYTES:
        data = b"".join(_as_listed(local, entry))
        patiently(lambda: obstore.put(bucket, path, data, use_multipart=False))
        if progress is not None:
            progress(entry.size)
        return
    told = _Furthest(progress)
    # An upload whose source raises is aborted: the object never appears.
    patiently(
        lambda: obstore.put(
            bucket,
            path,
            _as_listed(local, entry, told.attempt()),
            chunk_size=PART_BYTES,
            max_concurrency=PARALLEL_PARTS,
        )
    )


class _Furthest:
    """Tells how far a file has got, however often its upload begins anew."""

    def __init__(self, progress: Callable[[int], None] | None) -> None:
        self._progress = progress
        self._told = 0

    def attempt(self) -> Callable[[int], None]:
        """What counts one attempt's bytes."""
        sent = 0

        def count(size: int) -> None:
            nonlocal sent
            sent += size
            if self._progress is not None and sent > self._told:
                self._progress(sent - self._told)
                self._told = sent

        return count


def _as_listed(
    local: Path, entry: FileEntry, progress: Callable[[int], None] | None = None
) -> Iterator[bytes]:
    """Yields a file's blocks; raises at its end if it is not the content that was listed.

    Progress is told of a block when the next is asked for: then the client has taken it.
    """
    content = sha256()
    try:
        stream = local.open("rb")
    except FileNotFoundError:
        raise changed_file(local) from None
    with stream:
        while block := stream.read(PART_BYTES):
            content.update(block)
            yield block
            if progress is not None:
                progress(len(block))
    if content.hexdigest() != entry.sha256:
        raise changed_file(local)
