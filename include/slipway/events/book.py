"""Reads and changes of event ledgers: each change is a conditional write, so none is lost."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from slipway.content import bytes_digest
from slipway.errors import TransientError
from slipway.events.ledger import EventLedger, ledger_path, parse_events
from slipway.serving.layout import BOOKKEEPING
from slipway.storage import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slipway.storage import Store

_ROUNDS = 40
_LONGEST_PAUSE_SECONDS = 0.2
_MOST_SET_ASIDE = 100
_SHOWN_CHARACTERS = 2000


class SetAside(BaseModel):
    """A message, or an object, that starts nothing.

    Attributes:
        id: Of its content; the same message again only counts.
        reason: Why.
        body: Its beginning.
        seen: How often it came.
        at: When it last came.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    reason: str
    body: str
    seen: int = 1
    at: AwareDatetime

    @classmethod
    def of(cls, reason: str, body: str | bytes, at: datetime | None = None) -> SetAside:
        """What is kept of a message."""
        text = body.decode(errors="replace") if isinstance(body, bytes) else body
        # A lone half of a surrogate pair would be no UTF-8.
        text = text.encode(errors="replace").decode()
        reason = reason.encode(errors="replace").decode()
        name = bytes_digest(f"{reason}\0{text}".encode())[:12]
        return cls(id=name, reason=reason, body=text[:_SHOWN_CHARACTERS], at=at or now())


class SourceLog(BaseModel):
    """What a source brought that is nobody's, the newest last; bounded."""

    model_config = ConfigDict(frozen=True)

    set_aside: tuple[SetAside, ...] = Field(default=())

    def with_more(self, more: Sequence[SetAside]) -> SourceLog:
        """This log and these; the oldest are forgotten."""
        known = {one.id: one for one in self.set_aside}
        for one in more:
            before = known.pop(one.id, None)
            known[one.id] = (
                one.model_copy(update={"seen": before.seen + one.seen}) if before else one
            )
        return SourceLog(set_aside=tuple(known.values())[-_MOST_SET_ASIDE:])


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def read_events(store: Store, model: str) -> EventLedger:
    """Reads a model's event ledger; an empty one if nothing ever arrived.

    Raises:
        TerminalError: It is damaged.
    """
    return _read(store, model)[0]


def change_events(
    store: Store, model: str, change: Callable[[EventLedger], EventLedger]
) -> EventLedger:
    """Changes a model's event ledger.

    Args:
        store: Open at the base URI.
        model: The model's name.
        change: Called with the ledger, once more after each lost race; it returns the very same
            object if there is nothing to write.

    Returns:
        The ledger as it is now.

    Raises:
        TerminalError: The ledger is damaged.
        TransientError: Too many others wrote at the same time.
    """
    path = ledger_path(model)
    for _ in range(_ROUNDS):
        ledger, etag = _read(store, model)
        changed = change(ledger)
        if changed is ledger:
            return ledger
        data = changed.model_dump_json(indent=1).encode()
        try:
            store.put(path, data, if_absent=etag is None, if_match=etag)
        except PreconditionFailed:
            _pause()
        else:
            return changed
    raise _busy(path)


def log_path(source: str) -> str:
    """Where a source's log lies, below the base URI of the first model that listens."""
    return f"{BOOKKEEPING}/events/{source}.json"


def read_set_aside(store: Store, source: str) -> SourceLog:
    """What a source brought that was set aside; a damaged log counts as empty: it only tells."""
    return _read_log(store, source)[0]


def read_set_asides(store: Store) -> list[SetAside]:
    """What every source brought that was set aside at a base URI, the newest last."""
    names = [info.path.rpartition("/")[2] for info in store.list(f"{BOOKKEEPING}/events")]
    logs = [read_set_aside(store, name.removesuffix(".json")) for name in names]
    return sorted((one for log in logs for one in log.set_aside), key=lambda one: one.at)


def set_aside(store: Store, source: str, more: Sequence[SetAside]) -> None:
    """Keeps what starts nothing, with its reason.

    Raises:
        TransientError: Too many others wrote at the same time.
    """
    for _ in range(_ROUNDS):
        log, etag = _read_log(store, source)
        data = log.with_more(more).model_dump_json(indent=1).encode()
        try:
            store.put(log_path(source), data, if_absent=etag is None, if_match=etag)
        except PreconditionFailed:
            _pause()
        else:
            return
    raise _busy(log_path(source))


def _read(store: Store, model: str) -> tuple[EventLedger, str | None]:
    path = ledger_path(model)
    found = store.get(path)
    if found is None:
        return EventLedger(), None
    return parse_events(found.data, f"{store.uri}/{path}"), found.etag


def _read_log(store: Store, source: str) -> tuple[SourceLog, str | None]:
    found = store.get(log_path(source))
    if found is None:
        return SourceLog(), None
    try:
        return SourceLog.model_validate_json(found.data), found.etag
    except ValidationError:
        return SourceLog(), found.etag


def _pause() -> None:
    time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - spreads writers


def _busy(path: str) -> TransientError:
    return TransientError(
        f"{path} was written by others {_ROUNDS} times in a row.",
        hint="It is tried again; nothing is lost meanwhile.",
        subject=path,
    )
