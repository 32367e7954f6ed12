"""Sources of events and buckets, as Airflow's connections open them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.events.bucket import BucketSource
from slipway.events.pubsub import PubsubSource
from slipway.events.sqs import SqsSource
from slipway.storage import StoreCredentials, open_store
from slipway_airflow.hooks.connections import bucket_environment

if TYPE_CHECKING:
    from slipway.events.source import Source
    from slipway.storage import Store


class Places:
    """Buckets, opened once each; many models share a connection, which is asked about once."""

    def __init__(self) -> None:
        self._credentials: dict[tuple[str, str], StoreCredentials] = {}
        self._stores: dict[tuple[str, str], Store] = {}

    def open(self, uri: str, connection: str) -> Store:
        """The store at an address, as its connection says who we are.

        Raises:
            TerminalError: if there are no credentials for it.
        """
        key, cloud = (uri, connection), (uri.partition("://")[0], connection)
        if cloud not in self._credentials:
            environment = {**os.environ, **bucket_environment(connection, uri)}
            self._credentials[cloud] = StoreCredentials.from_environment(environment)
        if key not in self._stores:
            self._stores[key] = open_store(uri, self._credentials[cloud])
        return self._stores[key]


def open_source(name: str, source: dict[str, Any], places: Places) -> Source:
    """The source that a trigger's arguments describe: see `slipway.spec.events.source_of`.

    Raises:
        TerminalError: if its connection cannot be used.
    """
    connection = str(source["connection"])
    if source["kind"] == "bucket":
        uri = str(source["uri"])
        place = places.open(uri, connection)
        return BucketSource(name, place, uri, float(source["poll_seconds"]))
    try:
        if source["kind"] == "sqs":
            return SqsSource(name, _sqs_client(connection), str(source["queue"]))
        return PubsubSource(name, _subscriber(connection), str(source["subscription"]))
    except Exception as error:  # noqa: BLE001 - the providers raise whatever a wrong field leads to
        raise TerminalError(
            f"the connection {connection} cannot be used: {type(error).__name__}: {error}",
            hint="correct it as docs/connections.md says",
            subject=connection,
        ) from None


def _sqs_client(connection: str) -> Any:
    from airflow.providers.amazon.aws.hooks.sqs import SqsHook

    return SqsHook(aws_conn_id=connection).get_conn()


def _subscriber(connection: str) -> Any:
    from airflow.providers.google.cloud.hooks.pubsub import PubSubHook

    return PubSubHook(gcp_conn_id=connection).subscriber_client
