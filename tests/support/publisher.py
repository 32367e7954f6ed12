"""A publishing process that a test can kill: forked from a clean process, so it is quick."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from slipway.storage import StoreCredentials

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "slipway.serving.publish",
        "slipway.storage.gcs",
        "slipway.storage.local",
        "slipway.storage.s3",
    ]
)


def start_publisher(
    uri: str, credentials: StoreCredentials | None, model: str, folder: Path
) -> BaseProcess:
    """Starts a process that publishes the folder; returns in the moment before it begins."""
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_publish, args=(there, uri, credentials, model, str(folder)))
    process.start()
    there.close()
    if not here.poll(30):
        process.kill()
        raise TimeoutError("the publishing process did not start")
    here.recv()
    here.close()
    return process


def _publish(
    begun: Connection, uri: str, credentials: StoreCredentials | None, model: str, folder: str
) -> None:
    from slipway.serving.publish import publish
    from slipway.storage import open_store

    store = open_store(uri, credentials)
    begun.send(None)
    publish(store, model, Path(folder), variant="original", metrics={}, golden=b"{}")
