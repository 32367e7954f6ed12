"""Channels: which version is stable and which is canary, moved only by who knows the last move."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from slipway.errors import TerminalError
from slipway.serving.layout import Digest, Layout, resolve
from slipway.serving.moves import announce_move, note_move
from slipway.storage import PreconditionFailed

if TYPE_CHECKING:
    from slipway.serving.layout import ChannelName
    from slipway.storage import Store


class Channel(BaseModel):
    """Where a channel points.

    Attributes:
        version: The version; None if the channel was cleared.
        digest: Of that version.
        generation: From 1; every move and every clearing adds one.
        moved_by: The run or person that moved it last.
        moved_at: When, with the time zone.
    """

    model_config = ConfigDict(frozen=True)

    version: int | None
    digest: Digest | None
    generation: int = Field(ge=1)
    moved_by: str = ""
    moved_at: AwareDatetime


def read_channel(store: Store, model: str, name: ChannelName) -> Channel | None:
    """Reads a channel; None if it was never set. A cleared channel has no version.

    Raises:
        TerminalError: The channel is damaged.
    """
    return _read(store, model, name)[0]


def move_channel(
    store: Store,
    model: str,
    name: ChannelName,
    *,
    version: int,
    digest: str,
    expected_generation: int,
    moved_by: str = "",
) -> Channel:
    """Points a channel to a published version.

    A caller that was killed after its move and calls again gets the channel as it moved it. A
    channel never points to a version that a retention has begun to remove, whenever the two meet.

    Args:
        store: Open at the base URI.
        model: The model's name.
        name: The channel.
        version: A published version.
        digest: Of the content that the caller means by it.
        expected_generation: Of the channel as the caller had read it; 0 if it was never set.
        moved_by: The run or person; shown to whoever comes too late.

    Raises:
        TerminalError: The channel has moved since, and by whom; or the version does not exist, was
            removed or has other content.
    """
    manifest = resolve(store, model, version)
    if manifest.digest != digest:
        raise TerminalError(
            f"Version {version} of {model} has digest {manifest.digest[:12]}, not {digest[:12]}.",
            hint="Roll out the version that was validated: take both from its publishing.",
            subject=Layout(model).manifest(version),
        )
    return _write(store, model, name, _next(version, digest, expected_generation, moved_by))


def clear_channel(
    store: Store,
    model: str,
    name: ChannelName,
    *,
    expected_generation: int,
    moved_by: str = "",
) -> Channel:
    """Points a channel to nothing, as when a canary is withdrawn; its generation goes on.

    Raises:
        TerminalError: The channel has moved since, and by whom.
    """
    return _write(store, model, name, _next(None, None, expected_generation, moved_by))


def _next(
    version: int | None, digest: str | None, expected_generation: int, moved_by: str
) -> Channel:
    return Channel(
        version=version,
        digest=digest,
        generation=expected_generation + 1,
        moved_by=moved_by,
        moved_at=datetime.now(UTC),
    )


def _write(store: Store, model: str, name: ChannelName, wanted: Channel) -> Channel:
    current, etag = _read(store, model, name)
    if (current.generation if current else 0) == wanted.generation - 1:
        if wanted.version is not None:
            announce_move(store, model, name, wanted.generation, wanted.version)
        data = wanted.model_dump_json(indent=1).encode()
        try:
            store.put(Layout(model).channel(name), data, if_absent=etag is None, if_match=etag)
        except PreconditionFailed:
            # A write whose answer was lost fails its own retry: what is there now decides.
            current = read_channel(store, model, name)
        else:
            current = wanted
    if current is not None and _same_move(current, wanted):
        # Also after a mover that was killed in between: its own retry makes up for it.
        note_move(store, model, name, current.generation, current.version)
        return current
    raise _too_late(model, name, wanted.generation - 1, current)


def _same_move(current: Channel, wanted: Channel) -> bool:
    ignored = {"moved_at"}
    return current.model_dump(exclude=ignored) == wanted.model_dump(exclude=ignored)


def _too_late(
    model: str, name: ChannelName, expected: int, current: Channel | None
) -> TerminalError:
    if current is None:
        found = "it was never set"
    else:
        target = f"version {current.version}" if current.version else "nothing"
        found = (
            f"{current.moved_by or 'someone'} moved it to {target} (generation "
            f"{current.generation}) at {current.moved_at:%Y-%m-%d %H:%M:%S %Z}"
        )
    return TerminalError(
        f"Channel {name} of {model} is not at generation {expected} any more: {found}.",
        hint="Start a new rollout if that version should still take the traffic.",
        subject=Layout(model).channel(name),
        details={"expected": expected, "found": current.generation if current else 0},
    )


def _read(store: Store, model: str, name: ChannelName) -> tuple[Channel | None, str | None]:
    path = Layout(model).channel(name)
    found = store.get(path)
    if found is None:
        return None, None
    try:
        return Channel.model_validate_json(found.data), found.etag
    except ValidationError as error:
        raise TerminalError(
            f"Channel {store.uri}/{path} is damaged ({error.error_count()} problems).",
            hint="Restore the object from a backup, or delete it and roll out again.",
            subject=path,
        ) from None
