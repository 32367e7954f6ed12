"""From a source's messages to pending events in the models' ledgers, one step at a time.

A message is taken off its queue only after what it says is written down. Whatever kills the process
that steps, its successor finds the rest in the ledgers and in the queue.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from slipway.errors import SlipwayError
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

log = logging.getLogger(__name__)

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
    """What one batch says of one model, and the messages that say it."""

    drops: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    versions: list[VersionReady] = field(default_factory=list)
    bodies: set[str] = field(default_factory=set)


@dataclass
class _Rest:
    """How long a model is left alone whose bucket could not be had."""

    pause: float
    until: float


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
        self._sweep_due = dict.fromkeys(self.listeners, 0.0)
        self._resting: dict[str, _Rest] = {}
        self._running: set[str] = set()
        self._follow_due = 0.0

    def step(self) -> list[str]:
        """Waits for messages a while, and writes down what follows.

        A model whose bucket cannot be had is left alone for a while, and costs the others nothing:
        its messages stay on the queue.

        Returns:
            Models with pending events that nobody has been told of, or not for a minute.

        Raises:
            SlipwayError: The source failed; nothing is lost, call it again.
        """
        for model, sweep_due in self._sweep_due.items():
            if self._clock() >= sweep_due:
                self._try(model, partial(self._sweep, model))
        due = min((each.due for each in self._arriving.values()), default=None)
        wait = None if due is None else max(due - self._clock(), 0.0)
        batch = self.source.receive(wait)
        batch.done(self._note(batch) if batch.notices or batch.refused else ())
        for model, drop in [
            key for key, each in self._arriving.items() if each.due <= self._clock()
        ]:
            if not self._try(model, partial(self._look_again, self.listeners[model], drop)):
                self._arriving[(model, drop)].due = self._resting[model].until
        pending: list[str] = []
        for model in list(self._waiting):
            self._try(model, partial(self._announce, model, pending))
        return pending

    def follow(self, state_of: Callable[[str, str], str | None]) -> None:
        """Writes down, twice a minute, which of the started runs have ended.

        Args:
            state_of: DAG id and run id to the run's state; None if there is no such run.

        """
        if self._clock() < self._follow_due:
            return
        for model in sorted(self._running):
            self._try(model, partial(self._follow, model, state_of))
        self._follow_due = self._clock() + FOLLOW_SECONDS

    def store_of(self, listener: Listener) -> Store:
        """The bucket in which a model is published."""
        return self._store(listener.base_uri, listener.connection)

    def _store(self, uri: str, connection: str) -> Store:
        key = (uri, connection)
        if key not in self._stores:
            self._stores[key] = self._open(uri, connection)
        return self._stores[key]

    def _try(self, model: str, work: Callable[[], object]) -> bool:
        """Whether a model's work could be done; after trouble it is tried ever more seldom."""
        rest = self._resting.get(model)
        if rest is not None and self._clock() < rest.until:
            return False
        try:
            work()
        except SlipwayError as error:
            pause = min(rest.pause * 2, SWEEP_SECONDS) if rest else _LOOK_SECONDS
            self._resting[model] = _Rest(pause, self._clock() + pause)
            log.warning("%s: %s; again in %g s, others go on", model, error, pause)
            return False
        self._resting.pop(model, None)
        return True

    def _follow(self, model: str, state_of: Callable[[str, str], str | None]) -> None:
        if not follow(self.store_of(self.listeners[model]), model, state_of):
            self._running.discard(model)

    def _sweep(self, model: str) -> None:
        """Find what a predecessor, or a replay, left in a ledger."""
        ledger = read_events(self.store_of(self.listeners[model]), model)
        for event in ledger.in_state("arriving"):
            self._arriving.setdefault((model, event.drop), self._candidate())
        if ledger.in_state(*UNDECIDED):
            self._waiting.setdefault(model, 0.0)
        if ledger.in_state("started"):
            self._running.add(model)
        self._sweep_due[model] = self._clock() + SWEEP_SECONDS

    def _candidate(self) -> _Candidate:
        return _Candidate(begun=self._clock(), since=self._clock(), due=self._clock())

    def _note(self, batch: Batch) -> set[str]:
        """Write down what a batch says; the messages that must come again."""
        refused = list(batch.refused)
        noted: dict[str, _Noted] = defaultdict(_Noted)
        for notice, body in batch.notices:
            try:
                for model in self._sort(notice, noted):
                    noted[model].bodies.add(body)
            except (NotADrop, MessageError) as error:
                refused.append(SetAside.of(str(error), body))
        kept: set[str] = set()
        for model, what in noted.items():
            if not self._try(model, partial(self._write, self.listeners[model], what)):
                kept |= what.bodies
        if refused:
            self._set_aside(refused)
        return kept

    def _set_aside(self, refused: Sequence[SetAside]) -> None:
        """Keep them in the bucket of the first model that can be had."""
        for each in sorted(self.listeners.values(), key=lambda each: (each.base_uri, each.model)):
            if self._try(each.model, partial(self._log, each, refused)):
                return

    def _log(self, listener: Listener, refused: Sequence[SetAside]) -> None:
        set_aside(self.store_of(listener), self.source.name, refused)

    def _sort(self, notice: Notice, noted: dict[str, _Noted]) -> list[str]:
        """Put a notice where it belongs; the models that it is for."""
        if isinstance(notice, ObjectCreated):
            found = []
            for listener in self.listeners.values():
                drop = listener.drop_of(notice.bucket, notice.key)
                if drop is not None:
                    noted[listener.model].drops[drop] += 1
                    found.append(listener.model)
            if not found and not self.source.quiet:
                raise NotADrop(f"no model listens at {notice.bucket}/{notice.key}")
            return found
        listener_or_none = self.listeners.get(notice.model)
        if listener_or_none is None:
            raise MessageError(f"no model {notice.model} listens to this source")
        if isinstance(notice, ModelDropped):
            noted[notice.model].drops[listener_or_none.drop_at(notice.incoming)] += 1
        else:
            noted[notice.model].versions.append(notice)
        return [notice.model]

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

    def _announce(self, model: str, pending: list[str]) -> None:
        """Adds a model to those whose pending events somebody is to be told of now."""
        last = self._waiting[model]
        if last and self._clock() - last < ANNOUNCE_AGAIN_SECONDS:
            return
        if last:
            ledger = read_events(self.store_of(self.listeners[model]), model)
            if not ledger.in_state(*UNDECIDED):
                del self._waiting[model]
                self._running.add(model)
                return
        self._waiting[model] = self._clock()
        pending.append(model)
