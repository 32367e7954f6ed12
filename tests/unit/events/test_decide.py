"""What follows from what arrived."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slipway.events.decide import Published, conf_of, decide, replayed, run_id_of
from slipway.events.ledger import MOST_DECIDED, OPEN, Event, EventLedger

AT = datetime(2026, 11, 1, tzinfo=UTC)
NONE = Published({})
A, B = "a" * 64, "b" * 64


def drop(name: str, minutes: float = 0, **more: Any) -> Event:
    facts = {
        "id": f"{name}@1",
        "state": "pending",
        "uri": f"s3://drops/digits/{name}",
        "modified_at": AT + timedelta(minutes=minutes),
        "first_seen_at": AT,
        "changed_at": AT,
    }
    return Event.model_validate(facts | more)


def version(number: int, **more: Any) -> Event:
    return drop(f"version-{number}", kind="version", version=number, uri="", **more)


def decided(*events: Event, published: Published = NONE, **ledger: Any) -> EventLedger:
    return decide("digits", EventLedger(**ledger).put(*events), published, AT)


def test_a_complete_drop_starts_the_build_with_its_address_and_digest() -> None:
    event = decided(drop("x", digest=A)).events["x@1"]
    assert (event.state, event.dag_id) == ("starting", "digits__build")
    assert event.run_id == f"event__{'a' * 16}"
    assert conf_of(event) == {"incoming": {"uri": "s3://drops/digits/x", "digest": A}}


def test_of_a_burst_the_newest_starts_and_the_others_say_what_took_their_place() -> None:
    ledger = decided(drop("x", 1), drop("z", 3, digest=A), drop("y", 2))
    states = {event.drop: (event.state, event.reason) for event in ledger.events.values()}
    assert states["z"][0] == "starting"
    assert states["x"] == states["y"] == ("superseded", "superseded by z@1")


def test_what_arrives_late_and_is_older_does_not_take_over() -> None:
    ledger = decided(drop("new", 5, digest=A))
    late = decide("digits", ledger.put(drop("old", 1)), NONE, AT).events["old@1"]
    assert (late.state, late.reason) == ("superseded", "older than new@1, which was run")


def test_a_drop_that_was_not_read_waits() -> None:
    assert decided(drop("x")).events["x@1"].state == "pending"


def test_content_that_is_published_starts_nothing() -> None:
    ignored = decided(drop("x", digest=A), published=Published({A: 7})).events["x@1"]
    assert (ignored.state, ignored.reason) == ("ignored", "same digest as version 7")


def test_content_that_was_run_starts_nothing_in_another_folder() -> None:
    done = drop("x", 1, digest=A, state="done", version=7)
    ignored = decided(done, drop("y", 2, digest=A)).events["y@1"]
    assert (ignored.state, ignored.reason) == ("ignored", "same digest as version 7")


def test_content_whose_run_failed_is_run_again_when_it_is_dropped_again() -> None:
    failed = drop("x", 1, digest=A, state="failed", run_id="event__aaaaaaaaaaaaaaaa")
    again = decided(failed, drop("y", 2, digest=A)).events["y@1"]
    assert (again.state, again.run_id) == ("starting", "event__aaaaaaaaaaaaaaaa-2")


def test_a_replay_runs_once_more_under_another_id_although_newer_was_run() -> None:
    failed = drop("x", 1, digest=A, state="failed", run_id="event__aaaaaaaaaaaaaaaa")
    ledger = EventLedger(newest=AT + timedelta(minutes=9), newest_id="y@1").put(failed)
    again = replayed(ledger, "x@1", AT)
    assert isinstance(again, EventLedger)
    started = decide("digits", again, Published({A: 3}), AT).events["x@1"]
    assert (started.state, started.run_id) == ("starting", "event__aaaaaaaaaaaaaaaa-2")


def test_only_what_was_decided_can_be_replayed() -> None:
    ledger = EventLedger().put(drop("x", state="started"))
    assert "x@1 is started" in str(replayed(ledger, "x@1", AT))
    assert "there is no event y@1" in str(replayed(ledger, "y@1", AT))


def test_a_published_version_is_rolled_out() -> None:
    published = Published({A: 7, B: 8}, stable=7)
    event = decided(version(8), published=published).events["version-8@1"]
    assert (event.state, event.dag_id) == ("starting", "digits__rollout")
    assert conf_of(event) == {"version": 8, "digest": B}


def test_a_version_that_cannot_follow_stable_is_refused_in_one_line() -> None:
    published = Published({A: 6, B: 7}, stable=7)
    ledger = decided(
        version(6),
        version(7),
        version(9),
        drop("wrong", kind="version", version=7, digest=A),
        published=published,
    )
    told = {event.id: (event.state, event.reason) for event in ledger.events.values()}
    assert told == {
        "version-6@1": ("refused", "version 6 is older than stable, which is 7"),
        "version-7@1": ("ignored", "version 7 is stable"),
        "version-9@1": ("refused", "version 9 is not published"),
        "wrong@1": ("refused", f"version 7 holds {'b' * 12}, not what is asked for"),
    }


def test_the_ledger_forgets_the_oldest_decisions_and_nothing_open() -> None:
    old = [
        drop(f"d{n}", state="ignored", changed_at=AT + timedelta(seconds=n))
        for n in range(MOST_DECIDED + 50)
    ]
    ledger = EventLedger().put(drop("open"), *old)
    assert len(ledger.events) == MOST_DECIDED + 1
    assert "open@1" in ledger.events
    assert "d0@1" not in ledger.events


digests = st.sampled_from([A, B, "c" * 64, None])
events = st.lists(
    st.builds(
        lambda name, minutes, digest, state: drop(name, minutes, digest=digest, state=state),
        st.text("abcdef", min_size=1, max_size=2),
        st.integers(0, 5),
        digests,
        st.sampled_from(["arriving", "pending", "started", "done", "failed", "ignored"]),
    ),
    max_size=8,
)


@given(events, st.dictionaries(digests.filter(bool), st.integers(1, 9), max_size=2))
def test_every_pending_event_gets_a_reason_or_starts_and_one_at_most(
    arrived: list[Event], published: dict[str, int]
) -> None:
    before = EventLedger().put(*arrived)
    after = decide("digits", before, Published(published), AT)
    moved = [event for event in after.events.values() if before.events[event.id] != event]
    assert all(before.events[event.id].state == "pending" for event in moved)
    assert all(event.reason for event in moved if event.state not in OPEN)
    assert len(after.in_state("starting")) <= 1
    assert all(event.digest is None for event in after.in_state("pending"))
    # Nothing that is decided is decided again: a second look changes nothing.
    assert decide("digits", after, Published(published), AT) is after


@given(st.text("0123456789abcdef", min_size=64, max_size=64), st.integers(1, 99))
def test_a_run_id_follows_from_content_and_attempt_alone(digest: str, attempt: int) -> None:
    one = drop("x", 1, digest=digest, attempt=attempt)
    other = drop("y", 2, digest=digest, attempt=attempt, seen=9)
    assert run_id_of(one) == run_id_of(other)
    assert run_id_of(one) != run_id_of(one.model_copy(update={"attempt": attempt + 1}))
