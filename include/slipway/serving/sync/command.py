"""The process: signals, pages, exit status."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.serving.address import split_address
from slipway.serving.layout import Layout
from slipway.serving.sync.disk import LocalVersions
from slipway.serving.sync.follower import Follower
from slipway.serving.sync.metrics import Metrics
from slipway.serving.triton import CONFIG_FILE, version_config
from slipway.storage import open_store
from slipway.storage.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from slipway.serving.sync.follower import Policy
    from slipway.storage import Store

_log = logging.getLogger(__name__)

# Longer than any poll of a healthy bucket: what a silent one may take, several times.
_STUCK_SECONDS = 300.0
_STOP_SECONDS = 5.0


def sync_once(address: str, folder: Path, policy: Policy, *, triton: bool = False) -> None:
    """Brings the folder in step and returns, as an init container does.

    Args:
        address: Of the published model.
        folder: The base path of the model server.
        policy: How to follow.
        triton: Also place `config.pbtxt` of the one version, so that the folder is a model of
            Triton's repository.

    Raises:
        SlipwayError: Something wanted could not be had; the rest is in place.
    """
    base, model = split_address(address)
    store = open_store(base)
    _refuse_what_is_published(store, model, folder)
    disk = LocalVersions(folder)
    try:
        follower = Follower(store, model, disk, policy, Metrics(), _until_signal())
        if follower.poll():
            if triton and policy.only is not None:
                disk.place(CONFIG_FILE, version_config(store, model, policy.only).encode())
            return
        if not follower.failures:
            raise TransientError(
                "Stopped before everything was in place.",
                hint="Start it again: what is on the disk is not downloaded again.",
                subject=model,
            )
        version, error = next(iter(sorted(follower.failures.items(), reverse=True)))
        if isinstance(error, SlipwayError):
            raise error
        raise TransientError(
            f"Version {version} of {model} cannot be put on the disk: {error}.",
            hint="Make room, then start it again.",
            subject=str(folder),
        ) from error
    finally:
        disk.close()


def follow(address: str, folder: Path, policy: Policy, host: str, port: int) -> None:
    """Follows until SIGTERM or SIGINT.

    Raises:
        TerminalError: It cannot begin: the address, the folder or the port.
        TransientError: It ended without having been asked to.
    """
    from slipway.serving.sync.health import Pages  # an HTTP server: `sync_once` starts without it

    base, model = split_address(address)
    stop = _until_signal()
    store = open_store(base)
    _refuse_what_is_published(store, model, folder)
    disk = LocalVersions(folder)
    metrics = Metrics()
    follower = Follower(store, model, disk, policy, metrics, stop)
    stuck = _STUCK_SECONDS + 2 * policy.interval
    worker = threading.Thread(target=follower.run, name="follower", daemon=True)
    with Pages(host, port, metrics, stuck) as pages:
        _log.info("Following %s in %s; pages on port %d", address, folder, pages.port)
        worker.start()
        while worker.is_alive() and not stop.is_set():
            worker.join(0.2)
        crashed = not stop.is_set()
        stop.set()
        worker.join(_STOP_SECONDS)
    if crashed:
        disk.close()
        raise TransientError(
            f"The follower of {address} ended by itself.",
            hint="Its error stands above; start it again.",
            subject=address,
        )
    _log.info("Stopped")
    if worker.is_alive():
        # It waits for a bucket that does not answer; nothing is half done that a restart minds.
        sys.stderr.flush()
        os._exit(0)
    disk.close()


def _refuse_what_is_published(store: Store, model: str, folder: Path) -> None:
    """A follower deletes what it need not keep: never from where versions are published."""
    filled = folder.resolve()
    ledger = filled.parent / Layout(filled.name).ledger
    within = False
    if isinstance(store, LocalStore):
        published = (store.root / model).resolve()
        within = filled.is_relative_to(published) or published.is_relative_to(filled)
    if within or ledger.exists():
        raise TerminalError(
            f"Models are published in {folder}: it cannot be filled by a follower, too.",
            hint="Name another folder, which the model server reads.",
            subject=str(folder),
        )


def _until_signal() -> threading.Event:
    asked = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return asked
