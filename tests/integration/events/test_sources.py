"""Real queues and buckets as sources: SQS of moto, S3 of seaweedfs."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError, TransientError
from slipway.events.book import read_events, read_set_aside
from slipway.events.bucket import BucketSource
from slipway.events.drops import Listener
from slipway.events.intake import mark, take_in
from slipway.events.ledger import OPEN
from slipway.events.sqs import SqsSource
from slipway.events.watch import Watcher
from slipway.storage import Store, open_store
from support.arrivals import drop_model, notification
from support.moto_sqs import SqsServer, sqs_server
from support.seaweed import S3ServerWithGuests, seaweed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slipway.events.ledger import Event
    from slipway.events.source import Source

SECONDS = 60.0


@pytest.fixture(scope="module")
def s3() -> Iterator[S3ServerWithGuests]:
    with seaweed() as server:
        server.create_bucket("models")
        server.create_bucket("drops")
        yield server


@pytest.fixture(scope="module")
def sqs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqsServer]:
    with sqs_server(tmp_path_factory.mktemp("sqs")) as server:
        yield server


def listener(model: str) -> Listener:
    return Listener(
        model=model,
        base_uri="s3://models",
        connection="aws",
        incoming=f"s3://drops/{model}",
        settle_seconds=0.2,
    )


class Site:
    """One model on one source."""

    def __init__(self, s3: S3ServerWithGuests, model: str, source: Source) -> None:
        self.model, self.s3 = model, s3
        self.listener = listener(model)
        self.watcher = Watcher([self.listener], source, self.open)

    def open(self, uri: str, connection: str = "") -> Store:  # noqa: ARG002 - one owner
        return open_store(uri, self.s3.credentials)

    @property
    def drops(self) -> Store:
        return self.open(str(self.listener.incoming))

    @property
    def events(self) -> list[Event]:
        ledger = read_events(self.open("s3://models"), self.model)
        return list(ledger.events.values())

    def until(self, condition: Callable[[list[Event]], bool]) -> list[str]:
        """Steps until the ledger is so; the runs that were started, by id."""
        deadline, runs = time.monotonic() + SECONDS, []
        while not condition(self.events):
            assert time.monotonic() < deadline, self.events
            if self.watcher.step():
                store = self.open("s3://models")
                for start in take_in(self.listener, store, lambda: self.drops):
                    runs.append(start.run_id)
                    mark(store, start, "started")
        return runs


def started(events: list[Event]) -> bool:
    return bool(events) and all(event.state not in OPEN - {"started"} for event in events)


def test_a_drop_that_sqs_tells_of_twice_starts_one_run(
    s3: S3ServerWithGuests, sqs: SqsServer
) -> None:
    url = sqs.create_queue("twice")
    site = Site(s3, "twice", SqsSource("sqs-twice", sqs.client, "twice"))
    paths = drop_model(site.drops, "first", "1")
    bodies = [notification("drops", f"twice/{path}") for path in paths] * 2
    sqs.send(url, ["no JSON", *bodies])
    runs = site.until(started)
    assert len(runs) == 1
    assert sqs.left(url) == 0
    assert [event.digest is not None for event in site.events] == [True]
    log = read_set_aside(site.open("s3://models"), "sqs-twice")
    assert [one.body for one in log.set_aside] == ["no JSON"]


def test_what_was_written_down_is_off_the_queue_and_nothing_else(
    s3: S3ServerWithGuests, sqs: SqsServer
) -> None:
    url = sqs.create_queue("lost")
    site = Site(s3, "lost", SqsSource("sqs-lost", sqs.client, url))
    paths = drop_model(site.drops, "first", "1")
    sqs.send(url, [notification("drops", f"lost/{path}") for path in paths])
    batch = site.watcher.source.receive(1)  # the process dies here
    assert len(batch.notices) == 3
    assert sqs.left(url) == 3
    assert len(site.until(started)) == 1
    assert sqs.left(url) == 0


def test_a_queue_that_is_not_there_is_told_from_one_that_does_not_answer(
    sqs: SqsServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(TerminalError, match="nowhere"):
        SqsSource("sqs", sqs.client, "nowhere").receive(0)
    other = SqsServer(tmp_path_factory.mktemp("dead"))
    with pytest.raises(TransientError, match="drops failed"):
        SqsSource("sqs", other.client, "drops").receive(0)


def test_a_bucket_without_notifications_is_polled(s3: S3ServerWithGuests) -> None:
    store = open_store("s3://drops", s3.credentials)
    site = Site(s3, "polled", BucketSource("bucket-drops", store, "s3://drops", 0.2))
    drop_model(store, "others", "not a model that listens")
    drop_model(site.drops, "first", "1")
    assert len(site.until(started)) == 1
    drop_model(site.drops, "second", "2")
    assert len(site.until(lambda events: len(events) == 2 and started(events))) == 1
    # A new process finds both, and nothing to do.
    again = Site(s3, "polled", BucketSource("bucket-drops", store, "s3://drops", 0.2))
    assert again.watcher.step() == []
    assert started(again.events)
    assert read_set_aside(store, "bucket-drops").set_aside == ()


def test_two_hundred_models_on_an_idle_queue_cost_180_requests_an_hour(
    s3: S3ServerWithGuests, sqs: SqsServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = sqs.create_queue("idle")
    source = SqsSource("sqs-idle", sqs.client, url)
    listeners = [listener(f"idle_{number:03d}") for number in range(200)]
    opened = []

    def open_bucket(uri: str, connection: str) -> Store:
        opened.append((uri, connection))
        return open_store(uri, s3.credentials)

    watcher = Watcher(listeners, source, open_bucket)
    sqs.send(url, ["a message that is none"])
    watcher.step()  # reads every ledger once
    before, began = source.requests, time.monotonic()
    assert watcher.step() == []
    seconds, requests = time.monotonic() - began, source.requests - before
    with capsys.disabled():
        sys.stdout.write(f"\n200 models on an idle queue: {requests} request in {seconds:.1f} s\n")
    assert requests == 1
    assert 3600 / seconds == pytest.approx(180, rel=0.05)
    assert opened == [("s3://models", "aws")]
