"""What a message from a queue says: strict, because anybody may have written it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.spec.base import Name

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_BYTES = 1 << 20
"""SQS carries 1 MiB at most, and a notification has a few hundred bytes."""
_LARGEST_KEY_BYTES = 1024  # of S3 and GCS
_MOST_RECORDS = 1000
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class MessageError(Exception):
    """A message that is set aside; its text says why, for the sender and the operator."""


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """An object was written.

    Attributes:
        bucket: ``s3://name`` or ``gs://name``.
        key: The object's name in it, decoded.
    """

    bucket: str
    key: str


class ModelDropped(BaseModel):
    """Slipway's own message: a SavedModel was dropped. ``{"model": ..., "incoming": ...}``.

    Attributes:
        model: The model's name.
        incoming: The folder that was dropped: ``s3://bucket/prefix/folder``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: Name
    incoming: str = Field(max_length=2048)


class VersionReady(BaseModel):
    """Slipway's own message: a published version is to be rolled out.

    Attributes:
        model: The model's name.
        version: Which.
        digest: What it must hold; None: whatever its manifest says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: Name
    version: int = Field(ge=1, le=10**12)
    digest: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")


Notice = ObjectCreated | ModelDropped | VersionReady


def parse_message(
    body: str | bytes, attributes: Mapping[str, str] | None = None
) -> tuple[Notice, ...]:
    """What a message says.

    Understood are S3's notifications, straight, through SNS or through EventBridge; those of GCS
    through Pub/Sub; and Slipway's own, `ModelDropped` and `VersionReady`. Objects that were removed
    and a bucket's test message say nothing.

    Args:
        body: As it came from the queue.
        attributes: Of a Pub/Sub message.

    Raises:
        MessageError: It is none of these, or names an object that no honest sender could.
    """
    if attributes and "bucketId" in attributes:
        return _google(attributes)
    content = _json(body)
    if content.get("Type") == "Notification" and isinstance(content.get("Message"), str):
        content = _json(content["Message"])
    if "Records" in content:
        return _records(content["Records"])
    if content.get("Event") == "s3:TestEvent":
        return ()
    if content.get("source") == "aws.s3":
        return _event_bridge(content)
    if "model" in content:
        return (_own(content),)
    raise MessageError("neither a notification of S3 or GCS nor a message of Slipway's own")


def split_bucket(uri: str) -> tuple[str, str]:
    """``s3://bucket/a/b`` as (``s3://bucket``, ``a/b``)."""
    scheme, _, rest = uri.partition("://")
    bucket, _, path = rest.partition("/")
    return f"{scheme}://{bucket}", path.strip("/")


def _json(body: str | bytes) -> dict[str, Any]:
    if len(body) > LARGEST_BYTES:
        raise MessageError(f"{len(body)} bytes; the largest message taken has {LARGEST_BYTES}")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"not JSON: {str(error)[:200]}") from None
    if not isinstance(content, dict):
        raise MessageError(f"not a JSON object but a {type(content).__name__}")
    return content


def _records(records: Any) -> tuple[Notice, ...]:
    if not isinstance(records, list) or len(records) > _MOST_RECORDS:
        raise MessageError("Records is not a list of at most 1000 records")
    found = []
    for record in records:
        name = _text(record, "eventName")
        if name.removeprefix("s3:").startswith("ObjectCreated:"):
            key = unquote_plus(_text(record, "s3", "object", "key"))
            found.append(_object("s3", _text(record, "s3", "bucket", "name"), key))
    return tuple(found)


def _event_bridge(content: dict[str, Any]) -> tuple[Notice, ...]:
    if _text(content, "detail-type") != "Object Created":
        return ()
    # EventBridge, unlike S3 itself, does not encode keys.
    key = _text(content, "detail", "object", "key")
    return (_object("s3", _text(content, "detail", "bucket", "name"), key),)


def _google(attributes: Mapping[str, str]) -> tuple[Notice, ...]:
    if _text(attributes, "eventType") != "OBJECT_FINALIZE":
        return ()
    return (_object("gs", _text(attributes, "bucketId"), _text(attributes, "objectId")),)


def _own(content: dict[str, Any]) -> Notice:
    kind: type[ModelDropped | VersionReady] = VersionReady if "version" in content else ModelDropped
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise MessageError(f"{field}: {problem['msg']}") from None


def _text(content: Any, *path: str) -> str:
    for part in path:
        content = content.get(part) if hasattr(content, "get") else None
    if not isinstance(content, str) or not content:
        raise MessageError(f"{'.'.join(path)} is missing or no text")
    return content


def _object(scheme: str, bucket: str, key: str) -> ObjectCreated:
    if not _BUCKET.fullmatch(bucket):
        raise MessageError(f"{bucket[:100]!r} is no bucket's name")
    problem = path_problem(key.removesuffix("/"))
    if problem:
        raise MessageError(f"the key {key[:200]!r} {problem}")
    return ObjectCreated(f"{scheme}://{bucket}", key)


def path_problem(path: str) -> str | None:
    """Why a path cannot be that of an object below a prefix; None if it can."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "is not UTF-8"
    if size > _LARGEST_KEY_BYTES:
        return f"has more than {_LARGEST_KEY_BYTES} bytes"
    if any(part in {"", ".", ".."} or "\\" in part for part in path.split("/")):
        return "escapes its folder: it has an empty part, '.', '..' or a backslash"
    return "has control characters" if _CONTROL.search(path) else None
