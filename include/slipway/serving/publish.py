"""Publishing: a folder becomes a version, whole or not at all, under one number for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from slipway.serving.layout import Manifest, Provenance
    from slipway.storage import Store


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing has come to.

    Attributes:
        version: The version's number.
        digest: Of its content.
        uri: Its folder.
        already_published: Whether it was there before; then nothing was uploaded.
        uploaded_bytes: Bytes of the model that were sent by this call.
        requests: Operations that this call asked of the store.
    """

    version: int
    digest: str
    uri: str
    already_published: bool
    uploaded_bytes: int
    requests: int


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A version as `slipway versions` shows it.

    Attributes:
        manifest: What was published.
        channels: The channels that point to it.
    """

    manifest: Manifest
    channels: tuple[str, ...]


def publish(  # noqa: PLR0913 - each argument is a fact of its own about the version
    store: Store,
    model: str,
    folder: Path,
    *,
    variant: str,
    metrics: Mapping[str, float],
    provenance: Provenance,
    golden: bytes | None = None,
    expected_digest: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Published:
    """Publishes a folder that a model server can load."""
    raise NotImplementedError


def list_versions(store: Store, model: str) -> Sequence[VersionInfo]:
    """Lists the versions of a model, newest first."""
    raise NotImplementedError


def retain(store: Store, model: str, keep_versions: int) -> Sequence[int]:
    """Removes all but the newest versions and those that a channel points to."""
    raise NotImplementedError
