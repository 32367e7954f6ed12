"""Where versions come from: a local folder, or a bucket in Slipway's published layout."""

from __future__ import annotations

import os
import re
import shutil
import threading
import uuid
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from slipway.content import bytes_digest
from slipway.errors import TerminalError
from slipway.serving.server.status import StatusError

if TYPE_CHECKING:
    from slipway.serving.layout import Manifest
    from slipway.storage import Store

_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)


class VersionSource(Protocol):
    """Knows which versions of one model exist, and brings them to a local folder."""

    def versions(self) -> frozenset[int]:
        """The versions that exist now.

        Raises:
            OSError, SlipwayError: It cannot be known now; what is served stays as it is.
        """

    def fetch(self, version: int) -> Path:
        """A local folder with everything that belongs to the version, until it is released.

        Raises:
            Exception: It cannot be had; the load counts as failed and is retried.
        """

    def release(self, version: int) -> None:
        """Ends one `fetch` that succeeded: after the last, what was made for it may go."""


class LocalFolder:
    """A folder as TensorFlow Serving reads it: every child whose name is an integer is a version.

    Args:
        base_path: The folder that holds the versions.
    """

    def __init__(self, base_path: Path) -> None:
        self._base = base_path

    def versions(self) -> frozenset[int]:
        """See `VersionSource.versions`."""
        return frozenset(self._children())

    def fetch(self, version: int) -> Path:
        """The version's own folder."""
        return self._base / self._children().get(version, str(version))

    def release(self, version: int) -> None:
        """Nothing was made, so nothing goes."""

    def _children(self) -> dict[int, str]:
        return {
            int(entry.name): entry.name
            for entry in os.scandir(self._base)
            if _NUMBER.fullmatch(entry.name)
        }


class PublishedVersions:
    """A bucket in the published layout: a version exists when its manifest does.

    Args:
        base_path: ``s3://bucket/prefix/model``.
        cache: A local folder for downloads, this object's own. Its ready folders are named by
            version and digest, so that no server takes one for a version's folder by mistake.

    Raises:
        TerminalError: The base path names no model below a bucket.
    """

    def __init__(self, base_path: str, cache: Path) -> None:
        from slipway.storage import open_store

        parent, _, model = base_path.rstrip("/").rpartition("/")
        if not parent.partition("://")[2] or not model:
            raise TerminalError(
                f"Base path {base_path} names no model.",
                hint="Write s3://bucket/prefix/model or gs://bucket/prefix/model.",
                subject="base_path",
            )
        self._model = model
        self._store: Store = open_store(parent)
        self._cache = cache
        self._lock = threading.Lock()
        self._users: Counter[int] = Counter()
        self._folders: dict[int, Path] = {}

    def versions(self) -> frozenset[int]:
        """The versions with a manifest; half-uploaded ones have none."""
        from slipway.serving.layout import Layout, parse_version

        layout = Layout(self._model)
        paths = {info.path for info in self._store.list(self._model)}
        names = (path.removeprefix(f"{self._model}/").partition("/")[0] for path in paths)
        numbers = {parse_version(name) for name in names}
        return frozenset(n for n in numbers if n is not None and layout.manifest(n) in paths)

    def fetch(self, version: int) -> Path:
        """Downloads a version, or takes the copy of an earlier download, its checksums proven.

        Raises:
            StatusError: NOT_FOUND without a manifest, DATA_LOSS if a file is not what the
                manifest says.
            SlipwayError: The bucket cannot be read.
        """
        from slipway.serving.download import find_damage
        from slipway.serving.layout import find_manifest

        manifest = find_manifest(self._store, self._model, version)
        if manifest is None:
            raise StatusError("NOT_FOUND", f"{self._model} {version} has no manifest any more")
        ready = self._cache / f"v{version}-{manifest.digest[:16]}"
        with self._lock:
            if not ready.is_dir() or find_damage(ready, manifest):
                shutil.rmtree(ready, ignore_errors=True)
                self._download(manifest, ready)
            self._users[version] += 1
            self._folders[version] = ready
        return ready

    def release(self, version: int) -> None:
        """Deletes the local copy once nobody uses it."""
        with self._lock:
            self._users[version] -= 1
            if not self._users[version]:
                shutil.rmtree(self._folders.pop(version), ignore_errors=True)

    def _download(self, manifest: Manifest, ready: Path) -> None:
        from slipway.serving.download import DamagedObject, download_version

        partial = self._cache / f"partial-{uuid.uuid4().hex}"
        try:
            download_version(self._store, manifest, partial)
            partial.rename(ready)
        except DamagedObject as error:
            raise StatusError("DATA_LOSS", error.message) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def open_source(base_path: str, cache_root: Path) -> VersionSource:
    """The source that a base path asks for.

    Args:
        base_path: A local folder, or ``s3://bucket/prefix/model``.
        cache_root: Where downloads are kept, each base path in a folder of its own.

    Raises:
        TerminalError: No such kind of base path is known.
    """
    if "://" not in base_path:
        return LocalFolder(Path(base_path))
    return PublishedVersions(base_path, cache_root / bytes_digest(base_path.encode())[:16])
