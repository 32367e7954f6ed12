"""Readers that poll as fast as they can, each in a process of its own, and tell what was torn."""

from __future__ import annotations

import multiprocessing
import random
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from slipway.content import FileEntry, bytes_digest, digest_of
from slipway.serving.layout import MANIFEST_NAME, Layout, parse_manifest, parse_version
from slipway.storage import open_store
from support.following import MODEL
from support.models import model_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

    from support.victims import Place

_CONTEXT = multiprocessing.get_context("forkserver")
_SECONDS = 60
LAYOUT = Layout(MODEL)
SMALL_BYTES, IN_PARTS_BYTES = 200_000, 9 << 20


def data_bytes(version: int) -> int:
    """How large the weights of a version are: every tenth goes in parts."""
    return SMALL_BYTES if version % 10 else IN_PARTS_BYTES


@lru_cache(16)
def expected(version: int) -> dict[str, str]:
    """The sha256 of each file of a version: the seed of its content is its number."""
    files = model_files(seed=version, data_bytes=data_bytes(version))
    return {path: bytes_digest(data) for path, data in files.items()}


@dataclass
class Report:
    """What a reader saw.

    Attributes:
        polls: How often it looked.
        whole: The versions that it found complete, with every digest right.
        half: How often a folder was there that nothing calls complete.
        complaints: What no reader must ever see.
    """

    polls: int = 0
    whole: set[int] = field(default_factory=set)
    half: int = 0
    complaints: list[str] = field(default_factory=list)


class _Reader(Protocol):
    def poll(self, report: Report) -> None: ...


@contextmanager
def watching_store(place: Place) -> Iterator[Report]:
    """Reads what is published as a server does that reads the bucket itself.

    A version is there for it as soon as its folder holds saved_model.pb, or a manifest; on the
    local disk, as soon as there is a folder.
    """
    with _watching(StoreReader, place) as report:
        yield report


@contextmanager
def watching_folder(folder: Path) -> Iterator[Report]:
    """Reads a folder that is kept in step as a server does: every number is a version."""
    with _watching(FolderReader, folder) as report:
        yield report


@contextmanager
def _watching(kind: type[StoreReader | FolderReader], what: Place | Path) -> Iterator[Report]:
    """The report is filled in when the reader is stopped."""
    report = Report()
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_watch, args=(there, kind, what), daemon=True)
    process.start()
    there.close()
    try:
        assert here.poll(_SECONDS), "the reader did not start"
        here.recv()
        yield report
        here.send("stop")
        assert here.poll(_SECONDS), "the reader does not answer"
        vars(report).update(vars(here.recv()))
    finally:
        process.kill()
        process.join()


def _watch(there: Connection, kind: type[StoreReader | FolderReader], what: Place | Path) -> None:
    reader: _Reader = kind(what)  # type: ignore[arg-type]  # each kind comes with its own
    report = Report()
    there.send("begun")
    stopped = False
    while not stopped:
        stopped = there.poll(0)  # once more after that: the last version is to be seen
        try:
            reader.poll(report)
        except Exception as error:  # noqa: BLE001 - whatever a reader runs into is the finding
            report.complaints.append(repr(error))
        report.polls += 1
    there.send(report)


class StoreReader:
    """Looks at what is new, and at one of the others."""

    def __init__(self, place: Place) -> None:
        self._store = open_store(place.uri, place.credentials)
        self._at_once = place.kind == "local"
        self._choice = random.Random(5)

    def poll(self, report: Report) -> None:
        versions = _versions(self._store.list_folders(MODEL))
        known = sorted(versions & report.whole)
        again = {self._choice.choice(known)} if known else set()
        for version in (versions - report.whole) | again:
            self._look_at(version, report)

    def _look_at(self, version: int, report: Report) -> None:
        prefix = LAYOUT.version_prefix(version)
        present = {info.path.removeprefix(f"{prefix}/") for info in self._store.list(prefix)}
        signs = present & {"saved_model.pb", MANIFEST_NAME}
        if not signs:
            report.half += bool(present)
            if self._at_once and present and self._store.list(prefix):
                report.complaints.append(f"{version}: only {sorted(present)}")
            return
        problem = self._problem(version, prefix, with_manifest=MANIFEST_NAME in signs)
        # What was removed meanwhile is no longer called complete.
        if problem and all(self._store.get(f"{prefix}/{sign}") is not None for sign in signs):
            report.complaints.append(f"{version}, which has {sorted(signs)}: {problem}")
        if not problem and MANIFEST_NAME in signs:
            report.whole.add(version)

    def _problem(self, version: int, prefix: str, *, with_manifest: bool) -> str:
        entries = []
        for path, digest in expected(version).items():
            found = self._store.get(f"{prefix}/{path}")
            if found is None or bytes_digest(found.data) != digest:
                return f"{path} is {'missing' if found is None else 'not what was published'}"
            entries.append(FileEntry(path=path, size=len(found.data), sha256=digest))
        if not with_manifest:
            return ""
        marker = self._store.get(f"{prefix}/{MANIFEST_NAME}")
        if marker is None:
            return "the manifest vanished"
        manifest = parse_manifest(marker.data, prefix)
        return "" if manifest.digest == digest_of(entries) else "its manifest is another's"


class FolderReader:
    """Looks at every version, every time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def poll(self, report: Report) -> None:
        for version in _versions(child.name for child in list(self._folder.iterdir())):
            folder = self._folder / str(version)
            problem = _problem_of(folder, version)
            if problem is None:
                report.whole.add(version)
            elif folder.exists():  # what was taken away went as one: its number is gone
                report.complaints.append(f"{version}: {problem}")


def _problem_of(folder: Path, version: int) -> str | None:
    try:
        parse_manifest((folder / MANIFEST_NAME).read_bytes(), str(folder))
        for path, digest in expected(version).items():
            if bytes_digest((folder / path).read_bytes()) != digest:
                return f"{path} is not what was published"
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    except OSError as error:
        return repr(error)
    extra = found - expected(version).keys() - {MANIFEST_NAME}
    return f"also holds {sorted(extra)}" if extra else None


def _versions(names: Iterator[str] | list[str]) -> set[int]:
    return {version for name in names if (version := parse_version(name)) is not None}
