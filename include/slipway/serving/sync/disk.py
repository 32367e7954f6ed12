"""The local side: version folders that a server reads, and what is staged beside them."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from typing import TYPE_CHECKING

from slipway.errors import SlipwayError, TerminalError
from slipway.serving.download import find_damage
from slipway.serving.layout import MANIFEST_NAME, parse_manifest, parse_version

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from typing import BinaryIO

    from slipway.serving.layout import Manifest

_log = logging.getLogger(__name__)

# No model server takes the name for a version's.
_OWN = ".slipway-sync"


class LocalVersions:
    """A folder of versions that a model server reads; every one in it is whole.

    Numeric folders without a manifest that can be read, with another version's, and links belong
    to someone else and are never touched.

    Args:
        folder: What the server is given as its base path; made if it is missing.

    Attributes:
        ready: The manifests of the versions that are in place, by number.
        damaged: Those of versions whose files are not as listed; `discard_damaged` removes them.

    Raises:
        TerminalError: Another process keeps this folder, or it cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ready: dict[int, Manifest] = {}
        self.damaged: dict[int, Manifest] = {}
        self._foreign: set[int] = set()
        self._own = folder / _OWN
        self._lock = self._take_lock()
        self._clean()
        self._scan()

    def close(self) -> None:
        """Lets another process have the folder."""
        self._lock.close()

    def look(self) -> None:
        """Sees what someone else took away since: it is no longer ready, and may come again.

        Raises:
            TerminalError: The folder is gone and cannot be made again, or another process has made
                it and keeps it now.
        """
        if not self._own.is_dir():
            self.close()
            self._lock = self._take_lock()
        for version in sorted(self.ready):
            if not (self.folder / str(version) / MANIFEST_NAME).is_file():
                _log.warning("%s was taken away", self.folder / str(version))
                del self.ready[version]

    def free_bytes(self) -> int:
        """Bytes that may still be written to the file system of the folder."""
        return shutil.disk_usage(self.folder).free

    def staging(self, manifest: Manifest) -> Path:
        """Where a version is gathered; the same folder after a restart."""
        return self._own / f"v{manifest.version}-{manifest.digest[:16]}"

    def staged_bytes(self, manifest: Manifest) -> int:
        """Bytes of a version that are in its staging folder already."""
        staging = self.staging(manifest)
        files = (staging / entry.path for entry in manifest.files)
        return sum(file.stat().st_size for file in files if file.is_file())

    def is_foreign(self, version: int) -> bool:
        """Whether a folder of this number is there that no follower made."""
        folder = self.folder / str(version)
        if folder.is_symlink():
            return True
        has_manifest = (folder / MANIFEST_NAME).is_file()
        return folder.exists() and (version in self._foreign or not has_manifest)

    def expose(self, manifest: Manifest) -> None:
        """Renames the complete staging folder of a version into place, once it is on the disk.

        Raises:
            OSError: The disk does not take it.
        """
        staging, target = self.staging(manifest), self.folder / str(manifest.version)
        # The first sync writes the journal for all; for the others little is left to do.
        for path in (*staging.rglob("*"), staging):
            _sync(path)
        if target.exists():
            self._set_aside(manifest.version)
        staging.rename(target)
        _sync(self.folder)
        self.ready[manifest.version] = manifest

    def place(self, name: str, data: bytes) -> None:
        """Puts a small file beside the versions; a reader sees the old one or the new one.

        Raises:
            OSError: The disk does not take it.
        """
        partial = self._own / f"{name}.partial"
        partial.write_bytes(data)
        _sync(partial)
        partial.rename(self.folder / name)
        _sync(self.folder)

    def remove(self, version: int) -> None:
        """Takes a version away: as one, before any of its files goes."""
        self.ready.pop(version, None)
        self._set_aside(version)

    def discard_damaged(self) -> None:
        """Takes away what nobody must load; for whoever knows that the folder is his."""
        for version in self.damaged:
            self.remove(version)
        self.damaged.clear()

    def drop_staging(self, wanted: Collection[int] = ()) -> None:
        """Removes what is staged of all versions but these."""
        for child in self._own.iterdir():
            version = parse_version(child.name.partition("-")[0].removeprefix("v"))
            if child.is_dir() and version not in wanted:
                shutil.rmtree(child, ignore_errors=True)

    def _set_aside(self, version: int) -> None:
        aside = self._own / f"removed-{version}"
        shutil.rmtree(aside, ignore_errors=True)
        (self.folder / str(version)).rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def _take_lock(self) -> BinaryIO:
        try:
            self._own.mkdir(parents=True, exist_ok=True)
            lock = (self._own / "lock").open("wb")
        except OSError as error:
            raise TerminalError(
                f"Cannot write to {self.folder}: {error.strerror}.",
                hint="Give this user the right to write there, or name another folder.",
                subject=str(self.folder),
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise TerminalError(
                f"Another process keeps {self.folder} in step already.",
                hint="Stop it first, or give each model a folder of its own.",
                subject=str(self.folder),
            ) from None
        return lock

    def _clean(self) -> None:
        """A killed process may have been removing; what it was gathering is of use."""
        for child in self._own.glob("removed-*"):
            shutil.rmtree(child, ignore_errors=True)
        for partial in self._own.glob("v*/**/*.partial"):
            if partial.is_file():
                partial.unlink()

    def _scan(self) -> None:
        for child in sorted(self.folder.iterdir()):
            version = parse_version(child.name)
            marker = child / MANIFEST_NAME
            if version is None or not marker.is_file() or child.is_symlink():
                continue
            try:
                manifest = parse_manifest(marker.read_bytes(), str(marker))
                damaged = find_damage(child, manifest)
            except SlipwayError as error:
                _log.warning("%s: left alone", error)
                self._foreign.add(version)
                continue
            if manifest.version != version:
                _log.warning("%s is a copy of version %d: left alone", child, manifest.version)
                self._foreign.add(version)
            elif damaged is None:
                self.ready[version] = manifest
            else:
                _log.warning("%s is damaged: %s", child, damaged)
                self.damaged[version] = manifest


def _sync(path: Path) -> None:
    """Makes a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
