"""What lies in a bucket below one model, in one listing: the picture that all upkeep works from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from slipway.errors import TerminalError
from slipway.serving.channels import read_channel
from slipway.serving.layout import (
    BOOKKEEPING,
    MANIFEST_NAME,
    ChannelName,
    Layout,
    find_manifest,
    parse_version,
)
from slipway.serving.ledger_changes import read_ledger

if TYPE_CHECKING:
    from datetime import datetime

    from slipway.serving.channels import Channel
    from slipway.serving.layout import Manifest
    from slipway.serving.ledger import Ledger
    from slipway.storage import ObjectInfo, Store

STAGING = f"{BOOKKEEPING}/staging"
PROBES = "_slipway_access_probe"
# Lie in the bookkeeping, not in the version's folder.
BESIDE = frozenset({"golden", "triton"})


@dataclass
class Folder:
    """A folder that bears a version's number.

    Attributes:
        version: The number.
        objects: All that is in it, the manifest too.
        manifest: Its manifest; None if it has none or it cannot be read.
        damage: Why the manifest cannot be read.
    """

    version: int
    objects: list[ObjectInfo] = field(default_factory=list)
    manifest: Manifest | None = None
    damage: TerminalError | None = None

    @property
    def is_committed(self) -> bool:
        """Whether it has a manifest, be it a damaged one."""
        return self.manifest is not None or self.damage is not None

    @property
    def size_bytes(self) -> int:
        """Bytes of everything in it."""
        return sum(info.size for info in self.objects)


@dataclass
class Survey:
    """A model's part of the bucket.

    Attributes:
        model: The model's name.
        ledger: Its ledger; None if it is damaged.
        channels: The channels that were ever set and can be read.
        folders: Folders that bear a version's number.
        golden: Golden requests by version.
        triton: Triton's configs by version.
        staging: What publishers are staging or have left behind.
        foreign: Everything else, bookkeeping excepted.
        damages: What the ledger or a channel is damaged by, by its path.
        is_empty: Whether nothing at all lies there.
    """

    model: str
    ledger: Ledger | None = None
    channels: dict[ChannelName, Channel] = field(default_factory=dict)
    folders: dict[int, Folder] = field(default_factory=dict)
    golden: dict[int, ObjectInfo] = field(default_factory=dict)
    triton: dict[int, ObjectInfo] = field(default_factory=dict)
    staging: list[ObjectInfo] = field(default_factory=list)
    foreign: list[ObjectInfo] = field(default_factory=list)
    damages: dict[str, TerminalError] = field(default_factory=dict)
    is_empty: bool = True

    @property
    def pointed_to(self) -> dict[int, tuple[ChannelName, ...]]:
        """The channels that point to each version."""
        found: dict[int, tuple[ChannelName, ...]] = {}
        for name, channel in self.channels.items():
            if channel.version is not None:
                found[channel.version] = (*found.get(channel.version, ()), name)
        return found


def survey(store: Store, model: str) -> Survey:
    """Looks at everything below a model.

    Costs one listing, one read for the ledger, one for each channel and one for each manifest. The
    listing comes first: what the ledger then knows of a folder is at least as new as the folder.

    Raises:
        TerminalError: The store refuses; damage of a document is no error but part of the survey.
        TransientError: The store does not answer.
    """
    layout = Layout(model)
    found = Survey(model)
    for info in store.list(model):
        found.is_empty = False
        _sort_in(found, layout, info)
    for folder in found.folders.values():
        if any(info.path == layout.manifest(folder.version) for info in folder.objects):
            try:
                folder.manifest = find_manifest(store, model, folder.version)
            except TerminalError as error:
                folder.damage = _damage(error)
    try:
        found.ledger = read_ledger(store, model)
    except TerminalError as error:
        found.damages[layout.ledger] = _damage(error)
    _read_channels(store, found)
    return found


def _read_channels(store: Store, found: Survey) -> None:
    names: tuple[ChannelName, ...] = get_args(ChannelName)
    for name in names:
        try:
            channel = read_channel(store, found.model, name)
        except TerminalError as error:
            found.damages[Layout(found.model).channel(name)] = _damage(error)
            continue
        if channel is not None:
            found.channels[name] = channel


def _damage(error: TerminalError) -> TerminalError:
    """The error, if it is of what was read: a store's refusal has a code and says nothing of that.

    Raises:
        TerminalError: It is a refusal. Taken for damage, it would have whole documents deleted.
    """
    if "code" in error.details:
        raise error
    return error


def staged_for(found: Survey, version: int) -> list[ObjectInfo]:
    """What publishers have staged of a version."""
    prefix = f"{found.model}/{STAGING}/{version}/"
    return [info for info in found.staging if info.path.startswith(prefix)]


def newest(objects: list[ObjectInfo]) -> datetime | None:
    """When the last of some objects was written; None if the store does not say it of each."""
    times = [info.modified_at for info in objects]
    known = [time for time in times if time is not None]
    return max(known) if known and len(known) == len(times) else None


def _sort_in(found: Survey, layout: Layout, info: ObjectInfo) -> None:
    inside = info.path.removeprefix(f"{layout.model}/")
    first, _, rest = inside.partition("/")
    version = parse_version(first) if rest else None
    if version is not None:
        found.folders.setdefault(version, Folder(version)).objects.append(info)
    elif inside.startswith(f"{STAGING}/"):
        found.staging.append(info)
    elif inside.startswith(f"{BOOKKEEPING}/golden/"):
        _note(found.golden, found, info)
    elif inside.startswith(f"{BOOKKEEPING}/triton/"):
        _note(found.triton, found, info)
    elif first != BOOKKEEPING:
        found.foreign.append(info)


def _note(by_version: dict[int, ObjectInfo], found: Survey, info: ObjectInfo) -> None:
    number = parse_version(info.path.rpartition("/")[2].partition(".")[0])
    if number is not None:
        by_version[number] = info
    else:
        found.foreign.append(info)


def inside(folder: Folder, layout: Layout) -> dict[str, ObjectInfo]:
    """The model's files in a folder by their paths in it, without the manifest."""
    prefix = f"{layout.version_prefix(folder.version)}/"
    paths = {info.path.removeprefix(prefix): info for info in folder.objects}
    paths.pop(MANIFEST_NAME, None)
    return paths
