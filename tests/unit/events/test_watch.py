"""Messages become runs: each version once, whatever is killed, repeated or shuffled."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import TerminalError
from slipway.events import watch
from slipway.events.book import change_events, now, read_events, read_set_aside
from slipway.events.decide import replayed
from slipway.events.drops import Listener
from slipway.events.intake import follow, mark, take_in
from slipway.events.ledger import OPEN, EventLedger, ledger_path
from slipway.events.watch import Watcher
from support.arrivals import Clock, Queue, QueueSource, drop_model, notification
from support.memory_store import Cells, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.events.ledger import Event


class Killed(BaseException):
    """The process died at this request."""


@dataclass
class World:
    """Buckets, a queue, and the runs that exist, by id; processes come and go."""

    models: tuple[str, ...] = ("digits",)
    buckets: dict[str, Cells] = field(default_factory=lambda: defaultdict(Cells))
    queue: Queue = field(default_factory=Queue)
    clock: Clock = field(default_factory=Clock)
    runs: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    left: int | None = None
    shut: set[str] = field(default_factory=set)
    watcher: Watcher | None = None

    @property
    def listeners(self) -> list[Listener]:
        return [
            Listener(
                model=model,
                base_uri="s3://models",
                connection="aws",
                incoming=f"s3://drops/{model}",
            )
            for model in self.models
        ]

    def open(self, uri: str, connection: str = "") -> MemoryStore:  # noqa: ARG002 - one owner
        if uri in self.shut:
            raise TerminalError(f"{uri} cannot be opened", hint="", subject=uri)
        return MemoryStore(self.buckets[uri], self._before)

    def _before(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed

    def drop(self, model: str, name: str, content: str) -> list[str]:
        """Drops a model; the messages of it."""
        left, self.left = self.left, None
        paths = drop_model(self.open(f"s3://drops/{model}"), name, content)
        self.left = left
        return [notification("drops", f"{model}/{path}") for path in paths]

    def step(self) -> None:
        """One step of the trigger, and an intake if it asks for one."""
        if self.watcher is None:
            source = QueueSource(self.queue, self.clock)
            self.watcher = Watcher(self.listeners, source, self.open, self.clock)
        told = self.watcher.step()
        if told:
            self.intake(told)

    def intake(self, models: Sequence[str]) -> None:
        store = self.open("s3://models")
        for listener in self.listeners:
            if listener.model not in models:
                continue
            uri = str(listener.incoming)
            for start in take_in(listener, store, lambda uri=uri: self.open(uri)):
                # As Airflow does: a second run of the same id is refused.
                self.runs.setdefault(f"{start.dag_id}/{start.run_id}", 0)
                mark(store, start, "started")

    def restart(self) -> None:
        self.watcher, self.left = None, None

    def settle(self) -> None:
        for _ in range(400):
            self.step()
            open_ones = [e for m in self.models for e in self.events(m) if e.state in OPEN]
            if not self.queue.bodies and all(e.state == "started" for e in open_ones):
                return
        raise AssertionError(self.queue.bodies, open_ones)

    def events(self, model: str = "digits") -> list[Event]:
        left, self.left = self.left, None
        found = list(read_events(self.open("s3://models"), model).events.values())
        self.left = left
        return found


def test_a_drop_starts_one_run_however_many_messages_speak_of_it() -> None:
    world = World()
    messages = world.drop("digits", "first", "1")
    world.queue.send(messages * 3)
    world.settle()
    [event] = world.events()
    assert (event.state, event.seen) == ("started", 9)
    assert list(world.runs) == [f"digits__build/{event.run_id}"]


def test_a_half_upload_starts_nothing_until_its_last_file_is_there() -> None:
    world = World()
    messages = world.drop("digits", "half", "1")
    [data] = [p for p in world.buckets["s3://drops/digits"] if "data-" in p]
    kept = world.buckets["s3://drops/digits"].pop(data)
    world.queue.send(messages)
    for _ in range(50):
        world.step()
    [event] = world.events()
    assert (event.state, "data-00000-of-00001 is missing" in event.reason) == ("arriving", True)
    world.buckets["s3://drops/digits"][data] = kept
    world.settle()
    assert [event.state for event in world.events()] == ["started"]


def test_a_drop_that_never_completes_is_given_up_with_what_it_lacks() -> None:
    world = World()
    messages = world.drop("digits", "half", "1")
    world.buckets["s3://drops/digits"].pop("half/saved_model.pb")
    world.queue.send(messages)
    for _ in range(5000):
        world.step()
    [event] = world.events()
    assert event.state == "ignored"
    assert event.reason == "not complete after 24 h: saved_model.pb is missing"
    assert world.watcher is not None
    assert world.watcher.source.receive(None).notices == []


def test_the_same_content_in_another_folder_starts_nothing() -> None:
    world = World()
    world.queue.send(world.drop("digits", "one", "same"))
    world.settle()
    world.queue.send(world.drop("digits", "two", "same"))
    world.settle()
    assert len(world.runs) == 1
    ignored = world.events()[-1]
    assert (ignored.state, ignored.reason[:19]) == ("ignored", "same digest as one@")


def test_a_folder_that_is_written_anew_is_another_version() -> None:
    world = World()
    for content in ("1", "2"):
        world.queue.send(world.drop("digits", "latest", content))
        world.settle()
    assert len(world.runs) == 2


def test_what_is_nobodys_is_set_aside_with_its_reason_and_blocks_nothing() -> None:
    world = World()
    world.queue.send(
        ["{", notification("drops", "iris/1/saved_model.pb"), notification("drops", "digits/.x/a")]
    )
    world.queue.send(['{"model": "iris", "version": 3}', *world.drop("digits", "good", "1")])
    world.settle()
    reasons = [one.reason for one in read_set_aside(world.open("s3://models"), "queue").set_aside]
    assert [reason.split(":")[0] for reason in reasons] == [
        "not JSON",
        "no model listens at s3",
        ".x is hidden",
        "no model iris listens to this source",
    ]
    assert [event.state for event in world.events()] == ["started"]


def test_a_model_whose_ledger_is_damaged_holds_up_no_other_and_loses_nothing() -> None:
    world = World(("broken", "digits"))
    store = world.open("s3://models")
    store.put(ledger_path("broken"), b"{")
    world.queue.send([*world.drop("broken", "first", "1"), *world.drop("digits", "first", "1")])
    for _ in range(20):
        world.step()
    assert [event.state for event in world.events("digits")] == ["started"]
    assert len(world.queue.bodies) == 3, "those of the broken model come again"
    store.put(ledger_path("broken"), EventLedger().model_dump_json().encode())
    world.clock.seconds += watch.SWEEP_SECONDS
    world.settle()
    assert [event.state for event in world.events("broken")] == ["started"]


def test_a_bucket_that_cannot_be_opened_holds_up_no_other_and_loses_nothing() -> None:
    world = World(("digits", "shut"))
    world.queue.send([*world.drop("shut", "first", "1"), *world.drop("digits", "first", "1")])
    world.shut = {"s3://drops/shut"}
    for _ in range(20):
        world.step()
    assert [event.state for event in world.events("digits")] == ["started"]
    world.shut = set()
    world.clock.seconds += watch.SWEEP_SECONDS
    world.settle()
    assert [event.state for event in world.events("shut")] == ["started"]


def test_a_failed_run_is_replayed_from_the_ledger() -> None:
    world = World()
    world.queue.send(world.drop("digits", "one", "1"))
    world.settle()
    store = world.open("s3://models")
    assert follow(store, "digits", lambda _dag, _run: "running")
    assert follow(store, "digits", lambda _dag, _run: "failed") == []
    [failed] = world.events()
    assert failed.state == "failed"

    def again(ledger: EventLedger) -> EventLedger:
        found = replayed(ledger, failed.id, now())
        assert isinstance(found, EventLedger)
        return found

    change_events(store, "digits", again)
    world.clock.seconds += watch.SWEEP_SECONDS
    world.settle()
    assert sorted(world.runs) == [
        f"digits__build/{failed.run_id}",
        f"digits__build/{failed.run_id}-2",
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_dies_when_every_version_is_decided_once_and_the_newest_runs(
    data: st.DataObject,
) -> None:
    world = World(models=("digits", "iris"))
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    messages, newest = [], {}
    for number in range(data.draw(st.integers(1, 6))):
        model = chance.choice(world.models)
        messages += world.drop(model, f"d{number}", str(number))
        newest[model] = f"d{number}"
    messages += chance.choices(messages, k=len(messages) // 2)
    chance.shuffle(messages)
    world.queue.send(messages)
    for life in data.draw(st.lists(st.integers(0, 60), max_size=8)):
        world.left = life
        try:
            for _ in range(30):
                world.step()
        except Killed:
            pass
        world.restart()
    world.settle()
    for model in world.models:
        events = world.events(model)
        assert len({event.drop for event in events}) == len(events)
        assert all(event.state in {"started", "superseded"} for event in events)
        if events:
            [event] = [event for event in events if event.drop == newest[model]]
            assert event.state == "started"
    wanted = {f"{m}__build/{e.run_id}" for m in world.models for e in world.events(m) if e.run_id}
    assert set(world.runs) == wanted
