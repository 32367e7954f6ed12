"""The published versions, read by the worker or the API server itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.serving.catalog import list_versions
from slipway.serving.channels import read_channel
from slipway.serving.layout import resolve
from slipway.storage import StoreCredentials, open_store
from slipway_airflow.hooks.connections import bucket_environment

if TYPE_CHECKING:
    from slipway.spec.rollout import PublishSpec
    from slipway.storage import Store


def open_bucket(publish: PublishSpec) -> Store:
    """The store at a spec's base URI, as its connection says who we are.

    Raises:
        TerminalError: if there are no credentials for it.
    """
    own = bucket_environment(publish.connection, publish.base_uri)
    credentials = StoreCredentials.from_environment({**os.environ, **own})
    return open_store(publish.base_uri, credentials)


def settle_version(publish: PublishSpec, model: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Version and digest to roll out: as asked, and what was left open as it is published.

    Raises:
        TerminalError: if there is no such version, or none at all.
        TransientError: if the bucket does not answer.
    """
    version, digest = asked.get("version"), asked.get("digest")
    if version is not None and digest:
        return {"version": version, "digest": digest}
    store = open_bucket(publish)
    if version is None:
        version = _newest(store, model)
    return {"version": version, "digest": digest or resolve(store, model, version).digest}


def stable_version(publish: PublishSpec, model: str) -> int | None:
    """The version that is stable now; None if none is.

    Raises:
        TerminalError: if there are no credentials for the bucket.
        TransientError: if the bucket does not answer.
    """
    channel = read_channel(open_bucket(publish), model, "stable")
    return None if channel is None else channel.version


def _newest(store: Store, model: str) -> int:
    published = [info.version for info in list_versions(store, model) if info.state == "published"]
    if not published:
        raise TerminalError(
            f"no version of {model} is published at {store.uri}",
            hint=f"run {model}__build first",
            subject=model,
        )
    return max(published)
