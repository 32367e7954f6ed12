"""One follower: what the bucket says is brought to the disk, a poll at a time."""

from __future__ import annotations

import errno
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.serving.channels import read_channel
from slipway.serving.download import Stopped, download_version
from slipway.serving.layout import ChannelName, Layout, find_manifest
from slipway.serving.ledger import parse_ledger
from slipway.serving.sync.in_use import versions_in_use
from slipway.serving.sync.plan import surplus, wanted
from slipway.serving.sync.troubles import Troubles, kind_of
from slipway.storage import UNCHANGED

if TYPE_CHECKING:
    import threading

    from slipway.serving.layout import Manifest
    from slipway.serving.ledger import Ledger
    from slipway.serving.sync.disk import LocalVersions
    from slipway.serving.sync.metrics import FailureKind, Metrics
    from slipway.storage import Store

_log = logging.getLogger(__name__)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# Blocks, folders and the manifest need room beside the files.
_RESERVE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Policy:
    """How to follow.

    Attributes:
        keep: How many of the newest versions to have; at least 1.
        interval: Seconds between two polls.
        reserve_bytes: What is left free on the disk.
        status_url: Of the model server that reads the folder; None if there is none to ask.
        only: The one version to have; nothing is deleted then. None: what channels and `keep` say.
    """

    keep: int = 2
    interval: float = 10.0
    reserve_bytes: int = _RESERVE_BYTES
    status_url: str | None = None
    only: int | None = None


@dataclass(slots=True)
class _Known:
    """The bucket as it was last read."""

    ledger: Ledger
    etag: str
    channels: frozenset[int]
    manifests: dict[int, Manifest] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)


class Follower:
    """Keeps the folder of one model in step with the bucket.

    The model's ledger changes with every version that is published or removed and with every move
    of a channel. An idle poll is one conditional read of it.

    Args:
        store: Open at the base URI.
        model: The model's name.
        disk: Where versions are put.
        policy: How to follow.
        metrics: What counts.
        stop: Ends a download at its next block.

    Attributes:
        failures: What stands in the way now, by version; 0 for what is about no version.

    Raises:
        TerminalError: The folder holds versions of another model.
    """

    def __init__(
        self,
        store: Store,
        model: str,
        disk: LocalVersions,
        policy: Policy,
        metrics: Metrics,
        stop: threading.Event,
    ) -> None:
        self._store = store
        self._model = model
        self._disk = disk
        self._policy = policy
        self._metrics = metrics
        self._stop = stop
        _refuse_others(model, disk)
        disk.discard_damaged()
        self._known: _Known | None = None
        self._troubles = Troubles(policy.interval)
        self._prune_later = False
        self.failures: dict[int, Exception] = {}
        self._show()

    def run(self) -> None:
        """Polls until it is stopped."""
        while not self._stop.is_set():
            began = time.monotonic()
            self.poll()
            self._stop.wait(max(0.0, self._policy.interval - (time.monotonic() - began)))

    def poll(self) -> bool:
        """Looks once, and does what is to be done.

        Returns:
            Whether everything wanted is in place.
        """
        asked = self._store.requests
        self._metrics.add("polls_total")
        self.failures = {}
        try:
            if self._look():
                self._troubles.clear()
                self._prune_later = True
        except TransientError as error:
            self._fail(0, "store", error)
        except TerminalError as error:
            self._fail(0, "store" if "code" in error.details else "ledger", error)
        if self._see() and self._known is not None and not self._stop.is_set():
            self._fetch(self._known)
            if self._prune_later and self._policy.only is None:
                self._prune(self._known)
        self._metrics.add("store_requests_total", self._store.requests - asked)
        self._show()
        if not self.failures and not self._stop.is_set():
            self._metrics.succeed()
            return True
        return False

    def _look(self) -> bool:
        """Reads the ledger if it changed, and then the channels; says whether it did."""
        path = Layout(self._model).ledger
        known = self._known
        found = (
            self._store.get(path) if known is None else self._store.get_if_changed(path, known.etag)
        )
        if found is UNCHANGED:
            return False
        # Some servers that speak a cloud's protocol answer a conditional read in full.
        if found is not None and known is not None and found.etag == known.etag:
            return False
        if found is None:
            raise TransientError(
                f"Nothing is published at {self._store.uri}/{self._model}.",
                hint="Publish the model first, or correct the address.",
                subject=self._model,
            )
        ledger = parse_ledger(found.data, f"{self._store.uri}/{path}")
        # Read after the ledger: a channel that moves later changes the ledger once more.
        names: tuple[ChannelName, ...] = get_args(ChannelName)
        channels = (read_channel(self._store, self._model, name) for name in names)
        pointed_to = frozenset(c.version for c in channels if c is not None and c.version)
        self._known = _Known(ledger, found.etag, pointed_to)
        return True

    def _see(self) -> bool:
        """Looks at the folder, which others can change; says whether it can be worked in."""
        try:
            self._disk.look()
        except (OSError, TerminalError) as error:
            self._fail(0, "disk", error)
            return False
        return True

    def _fetch(self, known: _Known) -> None:
        while not self._stop.is_set():
            versions = self._wanted(known)
            todo = [version for version in versions if not self._in_place(known, version)]
            self._disk.drop_staging(todo)
            missing = len(known.missing)
            for version in todo:
                if self._stop.is_set():
                    return
                self._try_version(known, version)
            if len(known.missing) == missing:  # or else older ones take their place
                return

    def _wanted(self, known: _Known) -> list[int]:
        if self._policy.only is not None:
            return [self._policy.only]
        return wanted(known.ledger, known.channels, self._policy.keep, known.missing)

    def _in_place(self, known: _Known, version: int) -> bool:
        ready = self._disk.ready.get(version)
        entry = known.ledger.versions.get(version)
        return ready is not None and (entry is None or entry.digest == ready.digest)

    def _try_version(self, known: _Known, version: int) -> None:
        waiting = self._troubles.waiting(version)
        if waiting is not None:
            self.failures[version] = waiting
            return
        received = self._metrics.value("downloaded_bytes_total")
        try:
            self._fetch_version(known, version)
        except Stopped:
            return
        except SlipwayError as error:
            self._fail(version, kind_of(error), error)
        except FileExistsError as error:
            self._fail(version, "foreign", error)
        except OSError as error:
            full = error.errno in _FULL
            if full:
                self._disk.drop_staging()  # others need the room, too
            costly = self._metrics.value("downloaded_bytes_total") > received
            self._fail(version, "disk_full" if full else "disk", error, costly=costly)
        else:
            self._troubles.over(version)

    def _fetch_version(self, known: _Known, version: int) -> None:
        manifest = known.manifests.get(version)
        if manifest is None:
            manifest = find_manifest(self._store, self._model, version)
            if manifest is None:
                if self._policy.only is not None:
                    raise self._unpublished(version)
                known.missing.add(version)
                return
            known.manifests[version] = manifest
        entry = known.ledger.versions.get(version)
        if entry is not None and entry.digest != manifest.digest:
            del known.manifests[version]
            raise TerminalError(
                f"Version {version} of {self._model} holds {manifest.digest[:12]}, but the ledger "
                f"says {entry.digest[:12]}.",
                hint="Its ledger was restored or edited: publish the model again.",
                subject=Layout(self._model).manifest(version),
            )
        if self._disk.is_foreign(version):
            raise FileExistsError(errno.EEXIST, "a folder of someone else is there", str(version))
        self._check_room(manifest)
        began = time.monotonic()
        download_version(
            self._store,
            manifest,
            self._disk.staging(manifest),
            stop=self._stop,
            received=lambda count: self._metrics.add("downloaded_bytes_total", count),
        )
        self._disk.expose(manifest)
        self._metrics.add("downloaded_versions_total")
        _log.info(
            "%s %d is in place: %.1f MB in %.1f s",
            self._model,
            version,
            manifest.size_bytes / 1e6,
            time.monotonic() - began,
        )

    def _unpublished(self, version: int) -> TerminalError:
        return TerminalError(
            f"There is no version {version} at {self._store.uri}/{self._model}.",
            hint="`slipway versions` lists those that there are; it may have been removed.",
            subject=Layout(self._model).manifest(version),
        )

    def _check_room(self, manifest: Manifest) -> None:
        needed = manifest.size_bytes - self._disk.staged_bytes(manifest)
        free = self._disk.free_bytes()
        if needed + self._policy.reserve_bytes > free:
            raise OSError(
                errno.ENOSPC,
                f"version {manifest.version} needs {needed} bytes, {free} are free",
                str(self._disk.folder),
            )

    def _prune(self, known: _Known) -> None:
        ready = self._disk.ready
        keep = self._policy.keep
        going = surplus(known.ledger, known.channels, keep, ready, ())
        if going and self._policy.status_url is not None:
            try:
                in_use = versions_in_use(self._policy.status_url)
            except TransientError as error:
                self._fail(0, "server", error)
                return
            going = surplus(known.ledger, known.channels, keep, ready, in_use)
            self._prune_later = bool(in_use & set(ready) - set(going))
        else:
            self._prune_later = False
        for version in going:
            try:
                self._disk.remove(version)
            except OSError as error:
                self._fail(version, "disk", error)
                self._prune_later = True
                continue
            self._metrics.add("removed_versions_total")
            _log.info("%s %d is removed", self._model, version)

    def _fail(
        self, version: int, kind: FailureKind, error: Exception, *, costly: bool = False
    ) -> None:
        self.failures[version] = error
        self._metrics.fail(kind)
        where = f"{self._model} {version}" if version else self._model
        _log.warning("%s: %s: %s", where, kind, error)
        if version:
            self._troubles.add(version, kind, error, costly=costly)

    def _show(self) -> None:
        ready = self._disk.ready
        self._metrics.set(
            versions=len(ready),
            bytes=sum(manifest.size_bytes for manifest in ready.values()),
            newest_version=max(ready, default=0),
            pending_versions=sum(1 for version in self.failures if version),
        )
        with suppress(OSError):  # told where the folder is looked at
            self._metrics.set(free_bytes=self._disk.free_bytes())


def _refuse_others(model: str, disk: LocalVersions) -> None:
    there = (*disk.ready.values(), *disk.damaged.values())
    others = sorted({found.model for found in there} - {model})
    if others:
        raise TerminalError(
            f"{disk.folder} holds versions of {', '.join(others)}, not of {model}.",
            hint="Give each model a folder of its own.",
            subject=str(disk.folder),
        )
