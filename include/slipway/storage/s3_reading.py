"""Reading an object in parts: several requests at a time, the bytes in their order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

import obstore
from obstore import exceptions

from slipway.storage.s3_retries import patiently

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore import store

# Uploads have parts of this size, too: a server reads one that is aligned at the least cost.
PART_BYTES = 8 << 20
# So many, and the one in use, are in memory.
_PARTS_AHEAD = 3
_EMPTY = "InvalidRange"  # of an empty object no range can be had


def read_parts(bucket: store.S3Store, path: str) -> Iterator[memoryview]:
    """Reads an object: the first `PART_BYTES` by one request, the others by several at once.

    All parts are of the object as the first request found it.

    Yields:
        Blocks in their order, not copied: each holds its memory only as long as it is held itself.

    Raises:
        FileNotFoundError: There is no such object.
        obstore.exceptions.PreconditionError: The object was replaced meanwhile.
        obstore.exceptions.BaseError: The server refuses, or does not answer.
    """
    try:
        meta, first = _read(bucket, path, {"range": (0, PART_BYTES)})
    except exceptions.GenericError as error:
        if _EMPTY in str(error):
            return
        raise
    size, etag = meta["size"], meta["e_tag"]

    def read(start: int) -> memoryview:
        part = (start, min(start + PART_BYTES, size))
        return _read(bucket, path, {"range": part, "if_match": etag})[1]

    starts = iter(range(PART_BYTES, size, PART_BYTES))
    pool = ThreadPoolExecutor(_PARTS_AHEAD, "part")
    try:
        ahead = deque(pool.submit(read, start) for start in islice(starts, _PARTS_AHEAD))
        yield first
        while ahead:
            part = ahead.popleft().result()
            ahead.extend(pool.submit(read, start) for start in islice(starts, 1))
            yield part
    finally:
        pool.shutdown(cancel_futures=True)


def _read(
    bucket: store.S3Store, path: str, options: obstore.GetOptions
) -> tuple[obstore.ObjectMeta, memoryview]:
    def read() -> tuple[obstore.ObjectMeta, memoryview]:
        found = obstore.get(bucket, path, options=options)
        return found.meta, memoryview(found.bytes())

    return patiently(read)
