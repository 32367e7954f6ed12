"""How a drop becomes an event, and a message's version one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.events.book import now
from slipway.events.ledger import Event, EventLedger

if TYPE_CHECKING:
    from slipway.events.drops import Listener, Look
    from slipway.events.messages import VersionReady

ABANDON_SECONDS = 24 * 3600.0
"""How long a drop may lack a file before it is given up; a later write begins anew."""


def settled(ledger: EventLedger, drop: str, look: Look) -> EventLedger:
    """The ledger after a drop is complete and at rest, or was given up: no longer "arriving".

    Args:
        ledger: As it is.
        drop: The folder.
        look: How it was found.
    """
    at = now()
    arriving = ledger.events.get(_arriving_id(drop))
    if arriving is None:
        return ledger
    ledger = ledger.without(arriving.id)
    known = ledger.events.get(_event_id(drop, look))
    if known is not None:
        return ledger.put(known.model_copy(update={"seen": known.seen + arriving.seen}))
    facts = {
        "id": _event_id(drop, look),
        "fingerprint": look.fingerprint,
        "modified_at": look.modified_at,
        "size_bytes": look.size_bytes,
    }
    if look.missing is None:
        return ledger.put(arriving.moved("pending", "complete", at, **facts))
    hours = ABANDON_SECONDS / 3600
    given_up = f"not complete after {hours:g} h: {look.missing}"
    reason = "nothing is there any more" if look.gone else given_up
    return ledger.put(arriving.moved("ignored", reason, at, **facts))


def find(ledger: EventLedger, drop: str, look: Look) -> Event | None:
    """The event of a drop as it looks now, or of the same drop while it arrives."""
    return ledger.events.get(_event_id(drop, look)) or ledger.events.get(_arriving_id(drop))


def arrived(listener: Listener, drop: str, look: Look, source: str) -> Event:
    """The event of a drop that nothing was known of."""
    at = now()
    return Event(
        id=_arriving_id(drop),
        state="arriving",
        reason=look.missing or f"must not change for {listener.settle_seconds:g} s",
        uri=listener.uri_of(drop),
        fingerprint=look.fingerprint,
        modified_at=look.modified_at,
        size_bytes=look.size_bytes,
        source=source,
        first_seen_at=at,
        changed_at=at,
    )


def named(ledger: EventLedger, ready: VersionReady, source: str) -> Event:
    """The event of a version that a message names."""
    name = f"version-{ready.version}" + (f"@{ready.digest[:8]}" if ready.digest else "")
    known = ledger.events.get(name)
    if known is not None:
        return known.model_copy(update={"seen": known.seen + 1})
    at = now()
    return Event(
        id=name,
        kind="version",
        state="pending",
        reason="named by a message",
        digest=ready.digest,
        version=ready.version,
        modified_at=at,
        source=source,
        first_seen_at=at,
        changed_at=at,
    )


def _arriving_id(drop: str) -> str:
    return f"{drop}@arriving"


def _event_id(drop: str, look: Look) -> str:
    return f"{drop}@{look.fingerprint[:8]}"
