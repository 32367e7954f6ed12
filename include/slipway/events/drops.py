"""A dropped model: which folder of which model an object belongs to, and when it is complete."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slipway.contracts import Contract
from slipway.events.messages import path_problem, split_bucket

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slipway.storage import ObjectInfo

SETTLE_SECONDS = 5.0

_DROP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+@-]{0,99}")
_SHARD = re.compile(r"variables/variables\.data-([0-9]{5})-of-([0-9]{5})")
_INDEX = "variables/variables.index"
GRAPH = "saved_model.pb"
_EPOCH = datetime.fromtimestamp(0, UTC)


class Listener(Contract):
    """A model that listens, with all that must be known of its spec.

    Attributes:
        model: The model's name.
        base_uri: Where it is published; its event ledger is there.
        connection: Airflow connection of that bucket.
        incoming: Where models are dropped, each in a folder of its own; None if nowhere.
        incoming_connection: Airflow connection of that bucket.
        marker: A file that says that a drop is complete; None: its own files say it.
        settle_seconds: How long a drop without a marker must not have changed.
        largest_bytes: What is larger starts nothing; None: without limit.
    """

    model: str
    base_uri: str
    connection: str
    incoming: str | None = None
    incoming_connection: str | None = None
    marker: str | None = None
    settle_seconds: float = SETTLE_SECONDS
    largest_bytes: int | None = None

    def drop_of(self, bucket: str, key: str) -> str | None:
        """The drop that an object belongs to; None if it is not this model's.

        Raises:
            NotADrop: It lies where the model's drops lie, and starts nothing.
        """
        if self.incoming is None:
            return None
        own, prefix = split_bucket(self.incoming)
        inside = f"{prefix}/" if prefix else ""
        if bucket != own or not key.startswith(inside):
            return None
        return _drop_of(key.removeprefix(inside))

    def drop_at(self, uri: str) -> str:
        """The drop that an address names.

        Raises:
            NotADrop: It is not a folder directly below `incoming`.
        """
        bucket, path = split_bucket(uri)
        problem = path_problem(path)
        if problem:
            raise NotADrop(f"{uri}: the path {problem}")
        if self.incoming is None:
            raise NotADrop(f"{self.model} has no place where models are dropped: spec incoming.uri")
        found = self.drop_of(bucket, f"{path}/{GRAPH}")
        if found is None or f"{self.incoming.rstrip('/')}/{found}" != uri.rstrip("/"):
            raise NotADrop(f"{uri} is not a folder directly below {self.incoming}")
        return found

    def uri_of(self, drop: str) -> str:
        """The address of a drop."""
        return f"{(self.incoming or '').rstrip('/')}/{drop}"


class NotADrop(Exception):  # noqa: N818 - no error of the program: an answer with its reason
    """An object that starts nothing; its text says why."""


@dataclass(frozen=True, slots=True)
class Look:
    """A drop as it was found.

    Attributes:
        fingerprint: Of names, sizes and etags; changes with every write.
        missing: What it lacks to be a complete SavedModel; None if nothing.
        modified_at: When the newest of its objects was written.
        size_bytes: Of all of them.
        gone: Whether there is nothing at all.
    """

    fingerprint: str
    missing: str | None
    modified_at: datetime
    size_bytes: int
    gone: bool = False


def look_at(objects: Iterable[ObjectInfo], drop: str, marker: str | None = None) -> Look:
    """What there is of a drop.

    Args:
        objects: A listing below `incoming`; of other drops' objects nothing is taken.
        drop: The folder.
        marker: A file that says that it is complete, relative to the folder.
    """
    own = f"{drop}/"
    found = sorted((info for info in objects if info.path.startswith(own)), key=lambda i: i.path)
    seen = hashlib.sha256()
    for info in found:
        seen.update(f"{info.path}\0{info.size}\0{info.etag}\n".encode())
    return Look(
        fingerprint=seen.hexdigest(),
        missing=missing_of({info.path.removeprefix(own): info.size for info in found}, marker),
        modified_at=max((info.modified_at or _EPOCH for info in found), default=_EPOCH),
        size_bytes=sum(info.size for info in found),
        gone=not found,
    )


def missing_of(files: dict[str, int], marker: str | None = None) -> str | None:
    """What a folder lacks to be a complete SavedModel; None if nothing.

    A checkpoint's data files say in their names how many there are, so without a marker all must
    be there: `saved_model.pb`, the index and every one of them.

    Args:
        files: Path -> size in bytes.
        marker: A file whose presence vouches for all but `saved_model.pb`.
    """
    if not files.get(GRAPH):
        return f"{GRAPH} is empty" if GRAPH in files else f"{GRAPH} is missing"
    if marker is not None:
        return None if marker in files else f"the marker {marker} is missing"
    if not files.get(_INDEX):
        return f"{_INDEX} is missing; a model without variables needs a marker: incoming.marker"
    shards = [match for path in files if (match := _SHARD.fullmatch(path))]
    counts = {match[2] for match in shards}
    if len(counts) > 1:
        return f"the data files are of sets of {' and '.join(sorted(counts))}"
    expected = int(counts.pop()) if counts else 1
    there = {int(match[1]) for match in shards}
    lacking = sorted(set(range(expected)) - there)
    if lacking:
        return f"variables.data-{lacking[0]:05d}-of-{expected:05d} is missing"
    return None


def _drop_of(path: str) -> str:
    if path.endswith("/") or not path:
        raise NotADrop("a folder's own object, not a file")
    parts = path.split("/")
    hidden = next((part for part in parts if part.startswith(".") or part == "_temporary"), None)
    if hidden is not None:
        raise NotADrop(f"{hidden[:100]} is hidden")
    if len(parts) == 1:
        raise NotADrop("a file beside the dropped folders, in none of them")
    if not _DROP.fullmatch(parts[0]):
        raise NotADrop(
            f"the folder {parts[0][:100]!r} needs a name of at most 100 letters, digits and . _ - "
            "= + @ that begins with a letter or digit"
        )
    return parts[0]
