"""Followers for tests: one in this process, one that can be killed, and a reader of its folder."""

from __future__ import annotations

import multiprocessing
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.content import bytes_digest
from slipway.serving.layout import MANIFEST_NAME, parse_manifest, parse_version
from slipway.serving.publish import publish
from slipway.serving.sync.disk import LocalVersions
from slipway.serving.sync.follower import Follower, Policy
from slipway.serving.sync.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.process import BaseProcess

    from slipway.storage import Store, StoreCredentials

MODEL = "digits"
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["slipway.serving.sync.command", "slipway.storage.s3", "slipway.storage.local"]
)


def publish_model(store: Store, folder: Path) -> int:
    """Publishes a folder; returns its version."""
    return publish(store, MODEL, folder, variant="original", metrics={}).version


class Following:
    """A follower and what belongs to it."""

    def __init__(self, store: Store, folder: Path, policy: Policy) -> None:
        self.folder = folder
        self.metrics = Metrics()
        self.disk = LocalVersions(folder)
        self.stop = threading.Event()
        self.follower = Follower(store, MODEL, self.disk, policy, self.metrics, self.stop)

    def poll(self) -> bool:
        """One poll."""
        return self.follower.poll()

    @property
    def versions(self) -> set[int]:
        """What a server would find in the folder."""
        numbers = (parse_version(child.name) for child in self.folder.iterdir())
        return {number for number in numbers if number is not None}


@contextmanager
def following(store: Store, folder: Path, policy: Policy | None = None) -> Iterator[Following]:
    """A follower that polls when it is told."""
    made = Following(store, folder, policy or Policy(interval=0.01, reserve_bytes=0))
    try:
        yield made
    finally:
        made.disk.close()


def start_follower(
    uri: str, credentials: StoreCredentials | None, folder: Path, keep: int
) -> BaseProcess:
    """Starts a process that polls once and exits; returns in the moment before it begins."""
    here, there = _CONTEXT.Pipe()
    arguments = (there, uri, credentials, str(folder), keep)
    process = _CONTEXT.Process(target=_follow, args=arguments)
    process.start()
    there.close()
    if not here.poll(30):
        process.kill()
        raise TimeoutError("the following process did not start")
    here.recv()
    here.close()
    return process


def _follow(
    begun: object, uri: str, credentials: StoreCredentials | None, folder: str, keep: int
) -> None:
    from slipway.storage import open_store

    store = open_store(uri, credentials)
    begun.send(None)  # type: ignore[attr-defined]  # a Connection
    with following(store, Path(folder), Policy(keep=keep, reserve_bytes=0)) as made:
        assert made.poll()


class FolderReader(threading.Thread):
    """Polls a folder as a model server would, and complains about anything half there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.polls = 0
        self.seen: set[int] = set()
        self.complaints: list[str] = []
        self._folder = folder
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.001):
            for child in list(self._folder.iterdir()):
                version = parse_version(child.name)
                if version is not None:
                    self._look_at(version, child)
            self.polls += 1

    def stop(self) -> None:
        self._done.set()
        self.join(30)

    def _look_at(self, version: int, folder: Path) -> None:
        problem = _problem(folder)
        # One that was taken away meanwhile went as a whole: its number is gone.
        if problem is not None and folder.exists():
            self.complaints.append(f"{version}: {problem}")
        if problem is None:
            self.seen.add(version)


def _problem(folder: Path) -> str | None:
    try:
        manifest = parse_manifest((folder / MANIFEST_NAME).read_bytes(), str(folder))
        for entry in manifest.files:
            if bytes_digest((folder / entry.path).read_bytes()) != entry.sha256:
                return f"{entry.path} is not what the manifest says"
        found = {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        }
        extra = found - {entry.path for entry in manifest.files} - {MANIFEST_NAME}
    except OSError as error:
        return repr(error)
    return f"also holds {extra}" if extra else None
