"""From pending events to runs: reads what was dropped, decides, and says which runs to start.

Called again after any crash it says the same runs, by the same ids, until each was started.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.content import FileEntry, digest_of
from slipway.errors import TerminalError
from slipway.events.arrivals import arrived, named, settled
from slipway.events.assets import missing_asset
from slipway.events.book import change_events, now, read_events
from slipway.events.decide import Published, conf_of, decide, newest_pending, replayed
from slipway.events.drops import GRAPH, NotADrop, look_at
from slipway.events.messages import MessageError, ModelDropped
from slipway.serving.channels import read_channel
from slipway.serving.layout import find_manifest
from slipway.serving.ledger_changes import read_ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.events.drops import Listener
    from slipway.events.ledger import Event, EventLedger, State
    from slipway.events.messages import VersionReady
    from slipway.storage import Store

BY_HAND = "api"
_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Start:
    """A run that is to exist.

    Attributes:
        model: The model.
        event_id: Why.
        dag_id: Of which DAG.
        run_id: Under which id: the same for the same content, always.
        conf: Its parameters.
    """

    model: str
    event_id: str
    dag_id: str
    run_id: str
    conf: dict[str, Any]


def take_in(listener: Listener, store: Store, drops: Callable[[], Store]) -> list[Start]:
    """Decides all that is pending for a model.

    Args:
        listener: The model.
        store: Open at its base URI.
        drops: Opens the place where its models are dropped.

    Returns:
        The runs that are to exist; call `mark` for each once it does.

    Raises:
        SlipwayError: A bucket refuses or does not answer.
    """
    model, ledger = listener.model, read_events(store, listener.model)
    for _ in range(_ROUNDS):
        newest = newest_pending(ledger)
        if newest is not None and newest.digest is None and not _is_old(ledger, newest):
            _read(store, listener, newest, drops())
        published = published_of(store, model)

        def change(ledger: EventLedger, published: Published = published) -> EventLedger:
            return decide(model, ledger, published, now())

        ledger = change_events(store, model, change)
        if not ledger.in_state("pending"):
            break  # else a newer one has arrived meanwhile
    return [
        Start(model, event.id, event.dag_id or "", event.run_id or "", conf_of(event))
        for event in ledger.in_state("starting")
    ]


def tell(
    listener: Listener,
    store: Store,
    drops: Callable[[], Store],
    notice: ModelDropped | VersionReady,
) -> Event:
    """Writes down what somebody says who cannot wait for a drop to settle: it is complete now.

    Raises:
        MessageError: It is not complete, or no drop of this model.
        SlipwayError: A bucket refuses or does not answer.
    """
    if not isinstance(notice, ModelDropped):
        ledger = change_events(
            store, listener.model, lambda ledger: ledger.put(named(ledger, notice, BY_HAND))
        )
        return named(ledger, notice, BY_HAND)
    try:
        drop = listener.drop_at(notice.incoming)
    except NotADrop as error:
        raise MessageError(str(error)) from None
    look = look_at(drops().list(drop), drop, listener.marker)
    if look.missing is not None:
        raise MessageError(f"{notice.incoming} is not complete: {look.missing}")
    event = arrived(listener, drop, look, BY_HAND)

    def change(ledger: EventLedger) -> EventLedger:
        return settled(ledger.put(event), drop, look)

    ledger = change_events(store, listener.model, change)
    return next(e for e in ledger.events.values() if e.fingerprint == look.fingerprint)


def mark(
    store: Store, start: Start, state: State, reason: str = "", *, version: int | None = None
) -> None:
    """Writes down what became of a run that was to be started.

    Args:
        store: Open at the model's base URI.
        start: The run.
        state: "started", "done", "failed" or "refused".
        reason: Why, for people.
        version: The version that it published.
    """

    def change(ledger: EventLedger) -> EventLedger:
        event = ledger.events.get(start.event_id)
        if event is None or event.run_id != start.run_id or event.state == state:
            return ledger
        more = {"version": version} if version is not None else {}
        return ledger.put(event.moved(state, reason, now(), **more))

    change_events(store, start.model, change)


def follow(store: Store, model: str, state_of: Callable[[str, str], str | None]) -> list[Event]:
    """Writes down which started runs have ended, and what they published.

    Args:
        store: Open at the model's base URI.
        model: The model's name.
        state_of: DAG id and run id to the run's state; None if there is no such run.

    Returns:
        The events whose runs have not ended.
    """
    going = []
    for event in read_events(store, model).in_state("started"):
        start = Start(model, event.id, event.dag_id or "", event.run_id or "", {})
        state = state_of(start.dag_id, start.run_id)
        if state == "success":
            version = event.version or _version_of(store, model, start.run_id)
            mark(store, start, "done", _done(version), version=version)
        elif state == "failed":
            mark(store, start, "failed", "the run failed: see its log; replay it when it is mended")
        elif state is None:
            mark(store, start, "failed", "the run is gone; replay it")
        else:
            going.append(event)
    return going


def replay(store: Store, model: str, event_id: str) -> None:
    """Puts a decided event back to be run once more.

    Raises:
        TerminalError: There is no such event, or it is open.
    """

    def change(ledger: EventLedger) -> EventLedger:
        found = replayed(ledger, event_id, now())
        if isinstance(found, str):
            raise TerminalError(found, hint="`slipway events` lists them", subject=event_id)
        return found

    change_events(store, model, change)


def published_of(store: Store, model: str) -> Published:
    """What a decision must know of a model's versions."""
    ledger = read_ledger(store, model)
    digests = {
        entry.digest: version
        for version, entry in ledger.versions.items()
        if entry.state == "published"
    }
    channel = read_channel(store, model, "stable")
    return Published(digests, channel.version if channel else None)


def _done(version: int | None) -> str:
    return f"version {version}" if version is not None else "nothing new to publish"


def _is_old(ledger: EventLedger, event: Event) -> bool:
    return ledger.newest is not None and event.modified_at < ledger.newest


def _read(store: Store, listener: Listener, event: Event, drops: Store) -> None:
    """Find what a drop holds, unless it is too large or no longer what was found complete."""
    files = []
    objects = drops.list(event.drop)
    look = look_at(objects, event.drop)
    most = listener.largest_bytes
    if most is not None and look.size_bytes > most:
        reason = f"{look.size_bytes} bytes; incoming.largest_bytes is {most}"
        _move(store, listener.model, event, "refused", reason)
        return
    graph = bytearray()
    for info in objects:
        path, whole = info.path.removeprefix(f"{event.drop}/"), hashlib.sha256()
        for block in drops.read_blocks(info.path):
            whole.update(block)
            if path == GRAPH:
                graph += block
        files.append(FileEntry(path, info.size, whole.hexdigest()))
    lacking = missing_asset(bytes(graph), [file.path for file in files])
    if lacking is not None:
        reason = f"{lacking[:200]} is missing; the folder starts a run once it is there"
        _move(store, listener.model, event, "ignored", reason)
        return
    digest = digest_of(files)

    def change(ledger: EventLedger) -> EventLedger:
        current = ledger.events.get(event.id)
        if current is None or current.state != "pending":
            return ledger
        if look.fingerprint != event.fingerprint:
            reason = "written to again after it was complete"
            return ledger.put(current.moved("superseded", reason, now()))
        return ledger.put(current.model_copy(update={"digest": digest}))

    change_events(store, listener.model, change)


def _move(store: Store, model: str, event: Event, state: State, reason: str) -> None:
    def change(ledger: EventLedger) -> EventLedger:
        current = ledger.events.get(event.id)
        if current is None or current.state != "pending":
            return ledger
        return ledger.put(current.moved(state, reason, now()))

    change_events(store, model, change)


def _version_of(store: Store, model: str, run_id: str) -> int | None:
    """The newest version that a run published; None if none was new."""
    ledger = read_ledger(store, model)
    for version in sorted(ledger.versions, reverse=True)[:_ROUNDS]:
        manifest = find_manifest(store, model, version)
        if manifest is not None and (manifest.provenance.run or "").endswith(run_id):
            return version
    return None
