"""GCS's notifications through a real Pub/Sub subscription; the drop lies on a real GCS server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.events.book import read_events
from slipway.events.drops import Listener
from slipway.events.intake import mark, take_in
from slipway.events.pubsub import PubsubSource
from slipway.events.watch import Watcher
from slipway.storage import Store, open_store
from support.arrivals import drop_model
from support.fake_gcs import fake_gcs
from support.pubsub_emulator import pubsub_emulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOPIC = "projects/slipway/topics/drops"
SUBSCRIPTION = "projects/slipway/subscriptions/drops"
SECONDS = 60.0


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with pubsub_emulator(tmp_path) as address:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", address)
        yield address


def subscriber() -> Any:
    from google.cloud.pubsub_v1 import SubscriberClient

    return SubscriberClient()


def publish(paths: list[str]) -> None:
    """What GCS sends for written objects."""
    from google.cloud.pubsub_v1 import PublisherClient

    publisher = PublisherClient()
    for path in paths:
        attributes = {
            "eventType": "OBJECT_FINALIZE",
            "bucketId": "drops",
            "objectId": f"gcs_model/{path}",
        }
        publisher.publish(TOPIC, b"{}", **attributes).result(30)


def test_a_drop_that_pubsub_tells_of_starts_one_run(emulator: str) -> None:
    assert emulator
    from google.cloud.pubsub_v1 import PublisherClient

    PublisherClient().create_topic(name=TOPIC)
    client = subscriber()
    client.create_subscription(name=SUBSCRIPTION, topic=TOPIC, ack_deadline_seconds=10)
    with fake_gcs() as gcs:
        gcs.create_bucket("models")
        gcs.create_bucket("drops")

        def open_place(uri: str, connection: str = "") -> Store:  # noqa: ARG001 - one owner
            return open_store(uri, gcs.credentials)

        listener = Listener(
            model="gcs_model",
            base_uri="gs://models",
            connection="google",
            incoming="gs://drops/gcs_model",
            settle_seconds=0.2,
        )
        watcher = Watcher([listener], PubsubSource("pubsub", client, SUBSCRIPTION), open_place)
        drops, store = open_place("gs://drops/gcs_model"), open_place("gs://models")
        publish(drop_model(drops, "first", "1") * 2)
        runs, deadline = [], time.monotonic() + SECONDS
        while not runs:
            assert time.monotonic() < deadline
            if watcher.step():
                for start in take_in(listener, store, lambda: drops):
                    runs.append(start.run_id)
                    mark(store, start, "started")
        assert len(runs) == 1
        [event] = read_events(store, "gcs_model").events.values()
        assert (event.state, event.drop) == ("started", "first")
        # All of it was acknowledged: nothing comes again.
        assert watcher.source.receive(1.0).notices == []


def test_a_subscription_that_is_not_there_is_a_terminal_error(emulator: str) -> None:
    assert emulator
    source = PubsubSource("pubsub", subscriber(), SUBSCRIPTION)
    with pytest.raises(TerminalError, match="subscriptions/drops"):
        source.receive(1.0)
