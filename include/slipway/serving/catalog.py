"""The versions that a model has, and which of them may go."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from slipway.serving.channels import read_channel
from slipway.serving.layout import (
    ChannelName,
    find_manifest,
    parse_version,
)
from slipway.serving.ledger import VersionState
from slipway.serving.ledger_changes import read_ledger
from slipway.serving.upkeep.gc import collect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.serving.layout import Manifest
    from slipway.storage import Store


class VersionInfo(BaseModel):
    """A version as `slipway versions` shows it.

    Attributes:
        version: Its number.
        digest: Of its content.
        state: "allocated": its publishing has begun and is not complete; "published": it exists;
            "removed": retention has begun to remove it.
        channels: The channels that point to it.
        variant: Which variant it is; empty, as all that follows, unless it exists.
        size_bytes: Of all its files together.
        metrics: The figures with which it passed.
        created_at: When it was committed, with the time zone; None unless it exists.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    digest: str
    state: VersionState
    channels: tuple[ChannelName, ...] = ()
    variant: str = ""
    size_bytes: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)
    created_at: AwareDatetime | None = None


def list_versions(store: Store, model: str) -> Sequence[VersionInfo]:
    """Lists the versions of a model that exist or are being published, newest first.

    Raises:
        TerminalError: A manifest, a channel or the ledger is damaged; or the store refuses.
    """
    ledger = read_ledger(store, model)
    channels = _channels(store, model)
    infos = []
    for version in sorted(_folders(store, model) | ledger.versions.keys(), reverse=True):
        manifest = find_manifest(store, model, version)
        entry = ledger.versions.get(version)
        if manifest is None and (entry is None or entry.state == "removed"):
            continue
        state: VersionState = "published" if manifest else "allocated"
        if entry is not None and entry.state == "removed":
            state = "removed"
        info = VersionInfo(
            version=version,
            digest=entry.digest if entry is not None else "",
            state=state,
            channels=channels.get(version, ()),
        )
        infos.append(info if manifest is None else _with_manifest(info, manifest))
    return infos


def retain(store: Store, model: str, keep_versions: int) -> Sequence[int]:
    """Removes all but the newest versions and those that a channel points to: see `upkeep.gc`.

    A removal that was killed is completed by the next call. Removed numbers never come back; the
    evidence of their rollouts stays.

    Args:
        store: Open at the base URI.
        model: The model's name.
        keep_versions: How many of the newest published versions stay; at least 1.

    Returns:
        The versions that this call removed, newest first.

    Raises:
        TerminalError: `keep_versions` is less than 1; or as `list_versions`.
    """
    return list(collect(store, model, keep_versions).removed_versions)


def _with_manifest(info: VersionInfo, manifest: Manifest) -> VersionInfo:
    return info.model_copy(
        update={
            "digest": manifest.digest,
            "variant": manifest.variant,
            "size_bytes": manifest.size_bytes,
            "metrics": manifest.metrics,
            "created_at": manifest.created_at,
        }
    )


def _folders(store: Store, model: str) -> set[int]:
    return {
        version
        for name in store.list_folders(model)
        if (version := parse_version(name)) is not None
    }


def _channels(store: Store, model: str) -> dict[int, tuple[ChannelName, ...]]:
    pointing: dict[int, tuple[ChannelName, ...]] = {}
    names: tuple[ChannelName, ...] = get_args(ChannelName)
    for name in names:
        channel = read_channel(store, model, name)
        if channel is not None and channel.version is not None:
            pointing[channel.version] = (*pointing.get(channel.version, ()), name)
    return pointing
