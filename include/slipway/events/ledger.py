"""The event ledger of a model: what arrived, what was decided and why. The document alone."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from slipway.errors import TerminalError
from slipway.serving.layout import BOOKKEEPING

State = Literal[
    "arriving",
    "pending",
    "starting",
    "started",
    "done",
    "failed",
    "ignored",
    "superseded",
    "refused",
]

OPEN: frozenset[State] = frozenset({"arriving", "pending", "starting", "started"})
UNDECIDED: frozenset[State] = frozenset({"pending", "starting"})
MOST_DECIDED = 500
"""Decided entries that are kept, the newest; open ones stay until they are decided."""


class Event(BaseModel):
    """One thing that arrived for a model: a dropped folder, or a version to roll out.

    "arriving": not complete, or changed a moment ago; "pending": complete, to be decided;
    "starting": decided, its run may or may not exist; "started": it does. The others are final:
    only a replay moves them.

    Attributes:
        id: Unique in the model; the folder and what it held, or the version.
        kind: What it is.
        state: See above.
        reason: Why it is in that state, for people.
        uri: The dropped folder; empty for a version.
        fingerprint: Of the folder's listing.
        digest: Of the content, by `slipway.content.digest_of`; None until it was read.
        size_bytes: Of the folder.
        modified_at: When the folder was last written to: what "newest" goes by.
        seen: How many messages spoke of it.
        attempt: From 1; a replay adds one.
        source: What told us first.
        dag_id: Of the run that it started.
        run_id: Of that run.
        version: The published version.
        first_seen_at: When.
        changed_at: When its state last changed.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Literal["drop", "version"] = "drop"
    state: State
    reason: str = ""
    uri: str = ""
    fingerprint: str = ""
    digest: str | None = None
    size_bytes: int = 0
    modified_at: AwareDatetime
    seen: int = 1
    attempt: int = 1
    source: str = ""
    dag_id: str | None = None
    run_id: str | None = None
    version: int | None = None
    first_seen_at: AwareDatetime
    changed_at: AwareDatetime

    @property
    def drop(self) -> str:
        """The folder's name."""
        return self.uri.rpartition("/")[2]

    def moved(self, state: State, reason: str, at: AwareDatetime, **more: object) -> Event:
        """This event in another state."""
        return self.model_copy(update={"state": state, "reason": reason, "changed_at": at, **more})


class EventLedger(BaseModel):
    """Every event of a model that is open, and the newest that were decided.

    Attributes:
        generation: Every change adds one.
        newest: `modified_at` of the newest drop that started a run: no older one follows it.
        newest_id: That drop's event.
        events: By id, in the order of arrival.
    """

    model_config = ConfigDict(frozen=True)

    generation: int = 0
    newest: AwareDatetime | None = None
    newest_id: str = ""
    events: dict[str, Event] = Field(default_factory=dict)

    def put(self, *events: Event) -> EventLedger:
        """This ledger with these events as they are now, and not longer than it may be."""
        merged = {**self.events, **{event.id: event for event in events}}
        if all(self.events.get(event.id) == event for event in events):
            return self
        return self.model_copy(
            update={"generation": self.generation + 1, "events": _bounded(merged)}
        )

    def without(self, event_id: str) -> EventLedger:
        """This ledger without an event."""
        kept = {name: event for name, event in self.events.items() if name != event_id}
        if len(kept) == len(self.events):
            return self
        return self.model_copy(update={"generation": self.generation + 1, "events": kept})

    def in_state(self, *states: State) -> list[Event]:
        """The events in these states, in the order of arrival."""
        return [event for event in self.events.values() if event.state in states]


def ledger_path(model: str) -> str:
    """Where a model's event ledger lies below its base URI."""
    return f"{model}/{BOOKKEEPING}/events/ledger.json"


def parse_events(data: bytes, subject: str) -> EventLedger:
    """Reads an event ledger.

    Raises:
        TerminalError: It is damaged.
    """
    try:
        return EventLedger.model_validate_json(data)
    except ValidationError as error:
        raise TerminalError(
            f"The event ledger {subject} is damaged ({error.error_count()} problems).",
            hint="Move it away: versions are safe in their own ledger, and runs that were started "
            "are found again by their ids.",
            subject=subject,
        ) from None


def _bounded(events: dict[str, Event]) -> dict[str, Event]:
    decided = sorted(
        (event for event in events.values() if event.state not in OPEN),
        key=lambda event: event.changed_at,
    )
    gone = {event.id for event in decided[: max(len(decided) - MOST_DECIDED, 0)]}
    return {name: event for name, event in events.items() if name not in gone} if gone else events
