"""From a source's messages to pending events in the models' ledgers, one step at a time.

A message is taken off its queue only after what it says is written down. Whatever kills the process
that steps, its successor finds the rest in the ledgers and in the queue.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slipway.events.arrivals import ABANDON_SECONDS, arrived, find, named, settled
from slipway.events.book import SetAside, change_events, read_events, set_aside
from slipway.events.drops import NotADrop, look_at
from slipway.events.intake import follow
from slipway.events.ledger import UNDECIDED
from slipway.events.messages import MessageError, ModelDropped, ObjectCreated, VersionReady

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slipway.events.drops import Listener, Look
    from slipway.events.ledger import EventLedger
    from slipway.events.messages import Notice
    from slipway.events.source import Batch, Source
    from slipway.storage import Store

SWEEP_SECONDS = 600.0
FOLLOW_SECONDS = 30.0
ANNOUNCE_AGAIN_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_LONGEST_LOOK_SECONDS = 60.0


@dataclass
class _Candidate:
    """A drop that is arriving: how it looked last, since when, and when to look again."""

    fingerprint: str = ""
    since: float = 0.0
    begun: float = 0.0
    pause: float = _LOOK_SECONDS
    due: float = 0.0


@dataclass
class _Noted:
    """What one batch says of one model."""

    drops: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    versions: list[VersionReady] = field(default_factory=list)


class Watcher:
    """Watches one source for all models that listen to it.

    Args:
        listeners: The models.
        source: Where messages come from.
        open_bucket: Opens a bucket: address and Airflow connection to a store.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        source: Source,
        open_bucket: Callable[[str, str], Store],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.listeners = {listener.model: listener for listener in listeners}
        self.source = source
        self._open = open_bucket
        self._clock = clock
        self._stores: dict[tuple[str, str], Store] = {}
        self._arriving: dict[tuple[str, str], _Candidate] = {}
        self._waiting: dict[str, float] = {}
        self._sweep_due = 0.0
        self._running: set[str] = set()
        self._follow_due = 0.0

    def step(self) -> list[str]:
        """Waits for messages a while, and writes down what follows.

        Returns:
            Models with pending events that nobody has been told of, or not for a minute.

        Raises:
            SlipwayError: A bucket or the source failed; nothing is lost, call it again.
        """
        if self._clock() >= self._sweep_due:
            self._sweep()
        due = min((each.due for each in self._arriving.values()), default=None)
        wait = None if due is None else max(due - self._clock(), 0.0)
        batch = self.source.receive(wait)
        if batch.notices or batch.refused:
            self._note(batch)
        batch.done()
        for model, drop in [
            key for key, each in self._arriving.items() if each.due <= self._clock()
        ]:
            self._look_again(self.listeners[model], drop)
        return self._announced()

    def follow(self, state_of: Callable[[str, str], str | None]) -> None:
        """Writes down, twice a minute, which of the started runs have ended.

        Args:
            state_of: DAG id and run id to the run's state; None if there is no such run.

        Raises:
            SlipwayError: A bucket failed; call it again.
        """
        if self._clock() < self._follow_due:
            return
        for model in sorted(self._running):
            if not follow(self.store_of(self.listeners[model]), model, state_of):
                self._running.discard(model)
        self._follow_due = self._clock() + FOLLOW_SECONDS

    def store_of(self, listener: Listener) -> Store:
        """The bucket in which a model is published."""
        return self._store(listener.base_uri, listener.connection)

    def _store(self, uri: str, connection: str) -> Store:
        key = (uri, connection)
        if key not in self._stores:
            self._stores[key] = self._open(uri, connection)
        return self._stores[key]

    def _sweep(self) -> None:
        """Find what a predecessor, or a replay, left in the ledgers."""
        for listener in self.listeners.values():
            ledger = read_events(self.store_of(listener), listener.model)
            for event in ledger.in_state("arriving"):
                self._arriving.setdefault((listener.model, event.drop), self._candidate())
            if ledger.in_state(*UNDECIDED):
                self._waiting.setdefault(listener.model, 0.0)
            if ledger.in_state("started"):
                self._running.add(listener.model)
        self._sweep_due = self._clock() + SWEEP_SECONDS

    def _candidate(self) -> _Candidate:
        return _Candidate(begun=self._clock(), since=self._clock(), due=self._clock())

    def _note(self, batch: Batch) -> None:
        refused = list(batch.refused)
        noted: dict[str, _Noted] = defaultdict(_Noted)
        for notice, body in batch.notices:
            try:
                self._sort(notice, noted)
            except (NotADrop, MessageError) as error:
                refused.append(SetAside.of(str(error), body))
        for model, what in noted.items():
            self._write(self.listeners[model], what)
        if refused and self.listeners:
            first = min(self.listeners.values(), key=lambda each: (each.base_uri, each.model))
            set_aside(self.store_of(first), self.source.name, refused)

    def _sort(self, notice: Notice, noted: dict[str, _Noted]) -> None:
        if isinstance(notice, ObjectCreated):
            found = False
            for listener in self.listeners.values():
                drop = listener.drop_of(notice.bucket, notice.key)
                if drop is not None:
                    noted[listener.model].drops[drop] += 1
                    found = True
            if not found and not self.source.quiet:
                raise NotADrop(f"no model listens at {notice.bucket}/{notice.key}")
            return
        listener_or_none = self.listeners.get(notice.model)
        if listener_or_none is None:
            raise MessageError(f"no model {notice.model} listens to this source")
        if isinstance(notice, ModelDropped):
            noted[notice.model].drops[listener_or_none.drop_at(notice.incoming)] += 1
        else:
            noted[notice.model].versions.append(notice)

    def _write(self, listener: Listener, what: _Noted) -> None:
        looks = {drop: self._look(listener, drop) for drop in what.drops}

        def change(ledger: EventLedger) -> EventLedger:
            for drop, times in what.drops.items():
                known = find(ledger, drop, looks[drop])
                fresh = known or arrived(listener, drop, looks[drop], self.source.name)
                seen = fresh.seen + times if known else times
                ledger = ledger.put(fresh.model_copy(update={"seen": seen}))
            for ready in what.versions:
                ledger = ledger.put(named(ledger, ready, self.source.name))
            return ledger

        ledger = change_events(self.store_of(listener), listener.model, change)
        for event in ledger.in_state("arriving"):
            if event.drop in what.drops:
                candidate = self._arriving.setdefault(
                    (listener.model, event.drop), self._candidate()
                )
                candidate.pause, candidate.due = _LOOK_SECONDS, self._clock()
        if ledger.in_state(*UNDECIDED):
            self._waiting.setdefault(listener.model, 0.0)

    def _look(self, listener: Listener, drop: str) -> Look:
        assert listener.incoming is not None  # noqa: S101 - a model without it has no drops
        connection = listener.incoming_connection or listener.connection
        store = self._store(listener.incoming, connection)
        return look_at(store.list(drop), drop, listener.marker)

    def _look_again(self, listener: Listener, drop: str) -> None:
        candidate = self._arriving[(listener.model, drop)]
        look, clock = self._look(listener, drop), self._clock()
        if look.fingerprint != candidate.fingerprint:
            candidate.fingerprint, candidate.since = look.fingerprint, clock
            candidate.pause = _LOOK_SECONDS
        settle = 0.0 if listener.marker else listener.settle_seconds
        rests = look.missing is None and clock - candidate.since >= settle
        if rests or look.gone or clock - candidate.begun > ABANDON_SECONDS:
            self._settle(listener, drop, look)
            return
        left = candidate.since + settle - clock if look.missing is None else candidate.pause
        candidate.due = clock + max(min(left, candidate.pause), 0.05)
        if look.missing is not None:
            candidate.pause = min(candidate.pause * 1.5, _LONGEST_LOOK_SECONDS)

    def _settle(self, listener: Listener, drop: str, look: Look) -> None:
        def change(ledger: EventLedger) -> EventLedger:
            return settled(ledger, drop, look)

        ledger = change_events(self.store_of(listener), listener.model, change)
        del self._arriving[(listener.model, drop)]
        if ledger.in_state(*UNDECIDED):
            self._waiting[listener.model] = 0.0

    def _announced(self) -> list[str]:
        due = []
        for model, last in list(self._waiting.items()):
            if last and self._clock() - last < ANNOUNCE_AGAIN_SECONDS:
                continue
            listener = self.listeners[model]
            if last:
                ledger = read_events(self.store_of(listener), model)
                if not ledger.in_state(*UNDECIDED):
                    del self._waiting[model]
                    self._running.add(model)
                    continue
            self._waiting[model] = self._clock()
            due.append(model)
        return due
