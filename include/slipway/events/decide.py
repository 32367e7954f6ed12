"""What follows from what arrived: pure, so that every rule can be tested by itself.

Of several complete drops the newest starts a run; whatever is older, or was run before, does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.events.ledger import OPEN, EventLedger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from slipway.events.ledger import Event

BUILD, ROLLOUT = "build", "rollout"
_RAN = frozenset({"starting", "started", "done"})


@dataclass(frozen=True, slots=True)
class Published:
    """What a decision must know of a model's versions.

    Attributes:
        digests: Digest -> version, of every version that exists.
        stable: The version that the channel stable points to; None if to none.
    """

    digests: Mapping[str, int]
    stable: int | None = None

    @property
    def versions(self) -> dict[int, str]:
        """Version -> digest."""
        return {version: digest for digest, version in self.digests.items()}


def newest_pending(ledger: EventLedger) -> Event | None:
    """The drop that is to be read, if its turn has come: the newest that is complete."""
    drops = [event for event in ledger.in_state("pending") if event.kind == "drop"]
    return max(drops, key=_age, default=None)


def decide(model: str, ledger: EventLedger, published: Published, at: datetime) -> EventLedger:
    """The ledger with every pending event decided: "starting", or final with its reason.

    A drop whose content was not read yet (`Event.digest`) stays pending if it is the newest.

    Args:
        model: The model's name.
        ledger: As it is.
        published: The model's versions.
        at: The time of the decision.
    """
    ledger = _decide_drops(f"{model}__{BUILD}", ledger, published, at)
    return _decide_versions(f"{model}__{ROLLOUT}", ledger, published, at)


def run_id_of(event: Event) -> str:
    """The run that an event starts, always the same: a second try finds it.

    It follows from the content and the attempt alone.
    """
    what = f"v{event.version}-" if event.kind == "version" else ""
    again = f"-{event.attempt}" if event.attempt > 1 else ""
    return f"event__{what}{(event.digest or '')[:16]}{again}"


def conf_of(event: Event) -> dict[str, Any]:
    """The parameters of that run."""
    if event.kind == "version":
        return {"version": event.version, "digest": event.digest}
    return {"incoming": {"uri": event.uri, "digest": event.digest}}


def replayed(ledger: EventLedger, event_id: str, at: datetime) -> EventLedger | str:
    """The ledger with an event to be run once more; or why that cannot be."""
    event = ledger.events.get(event_id)
    if event is None:
        known = ", ".join(list(ledger.events)[-5:]) or "none"
        return f"there is no event {event_id}; the newest: {known}"
    if event.state in OPEN:
        return f"{event_id} is {event.state}: only what was decided can be replayed"
    attempt = event.attempt + 1 if event.run_id else event.attempt
    again = event.moved("pending", _REPLAYED, at, attempt=attempt, run_id=None, dag_id=None)
    return ledger.put(again)


_REPLAYED = "replayed"


def _age(event: Event) -> tuple[datetime, str]:
    return event.modified_at, event.id


def _decide_drops(
    dag_id: str, ledger: EventLedger, published: Published, at: datetime
) -> EventLedger:
    newest = newest_pending(ledger)
    if newest is None:
        return ledger
    older = [e for e in ledger.in_state("pending") if e.kind == "drop" and e.id != newest.id]
    ledger = ledger.put(
        *(event.moved("superseded", f"superseded by {newest.id}", at) for event in older)
    )
    forced = newest.reason == _REPLAYED
    if not forced and ledger.newest is not None and newest.modified_at < ledger.newest:
        reason = f"older than {ledger.newest_id}, which was run"
        return ledger.put(newest.moved("superseded", reason, at))
    if newest.digest is None:
        return ledger
    known = None if forced else _known(ledger, newest, published)
    if known is not None:
        return ledger.put(newest.moved("ignored", known, at))
    if not forced:
        newest = newest.model_copy(update={"attempt": 1 + _failures(ledger, newest)})
    ledger = ledger.put(_starting(newest, dag_id, at))
    if ledger.newest is None or newest.modified_at >= ledger.newest:
        ledger = ledger.model_copy(update={"newest": newest.modified_at, "newest_id": newest.id})
    return ledger


def _known(ledger: EventLedger, newest: Event, published: Published) -> str | None:
    """Why content starts nothing: it was run, or is published."""
    for event in ledger.events.values():
        same = event.kind == "drop" and event.id != newest.id and event.digest == newest.digest
        if same and event.state in _RAN:
            where = f"version {event.version}" if event.version else f"{event.id}, {event.run_id}"
            return f"same digest as {where}"
    version = published.digests.get(newest.digest or "")
    return f"same digest as version {version}" if version is not None else None


def _decide_versions(
    dag_id: str, ledger: EventLedger, published: Published, at: datetime
) -> EventLedger:
    waiting = [event for event in ledger.in_state("pending") if event.kind == "version"]
    fit: list[Event] = []
    for event in waiting:
        refusal = None if event.reason == _REPLAYED else _refusal(event, published)
        if refusal is None:
            fit.append(event)
        else:
            ledger = ledger.put(event.moved(*refusal, at))
    if not fit:
        return ledger
    newest = max(fit, key=lambda event: event.version or 0)
    older = (event for event in fit if event.id != newest.id)
    ledger = ledger.put(*(e.moved("superseded", f"superseded by {newest.id}", at) for e in older))
    digest = newest.digest or published.versions.get(newest.version or 0)
    return ledger.put(_starting(newest.model_copy(update={"digest": digest}), dag_id, at))


def _refusal(event: Event, published: Published) -> tuple[Any, str] | None:
    version, versions = event.version or 0, published.versions
    if version not in versions:
        return "refused", f"version {version} is not published"
    if event.digest is not None and event.digest != versions[version]:
        return "refused", f"version {version} holds {versions[version][:12]}, not what is asked for"
    if published.stable is not None and version < published.stable:
        return "refused", f"version {version} is older than stable, which is {published.stable}"
    if version == published.stable:
        return "ignored", f"version {version} is stable"
    return None


def _failures(ledger: EventLedger, newest: Event) -> int:
    """The last attempt at the same content, dropped in other folders, that failed; 0 if none."""
    same = (event for event in ledger.in_state("failed") if event.digest == newest.digest)
    return max((event.attempt for event in same), default=0)


def _starting(event: Event, dag_id: str, at: datetime) -> Event:
    return event.moved("starting", "", at, dag_id=dag_id, run_id=run_id_of(event))
