"""A retention in a process that a test can kill: forked from a clean process, so it is quick."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from slipway.storage import StoreCredentials

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["slipway.serving.upkeep.gc", "slipway.storage.s3", "slipway.storage.local"]
)


def start_collector(
    uri: str, credentials: StoreCredentials | None, model: str, keep_versions: int
) -> BaseProcess:
    """Starts a process that collects; returns in the moment before it begins."""
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(
        target=_collect, args=(there, uri, credentials, model, keep_versions)
    )
    process.start()
    there.close()
    if not here.poll(30):
        process.kill()
        raise TimeoutError("the collecting process did not start")
    here.recv()
    here.close()
    return process


def _collect(
    begun: Connection, uri: str, credentials: StoreCredentials | None, model: str, keep: int
) -> None:
    from slipway.serving.upkeep.gc import collect
    from slipway.storage import open_store

    store = open_store(uri, credentials)
    begun.send(None)
    collect(store, model, keep)
