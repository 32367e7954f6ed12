"""Where the cluster's files lie: what is cached for all runs, and one folder a running cluster."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROJECT = Path(__file__).parents[3]
SOURCES = PROJECT / "tests" / "kubernetes" / "cluster"
CACHE_VARIABLE = "SLIPWAY_TEST_KUBERNETES_CACHE"
# Inside the cluster's machine these are memory of its own: nothing of the host may be seen there.
HIDDEN = ("/run", "/var/log", "/var/lib")


def cache_folder() -> Path:
    """Where binaries, images and running clusters lie: of $SLIPWAY_TEST_KUBERNETES_CACHE.

    Default: ``slipway/kubernetes`` in $XDG_CACHE_HOME or ``~/.cache``.

    Raises:
        TerminalError: The folder is in a place that the cluster's machine does not see.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get(CACHE_VARIABLE) or home / "slipway" / "kubernetes").resolve()
    for hidden in HIDDEN:
        if folder.is_relative_to(hidden):
            raise TerminalError(
                f"the cluster cannot keep its files in {folder}: {hidden} is hidden from it",
                hint=f"set {CACHE_VARIABLE} to a folder elsewhere",
                subject=CACHE_VARIABLE,
            )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(parts: Iterable[bytes]) -> str:
    """A short name of these contents, for a folder of the cache."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "big") + part)
    return sha.hexdigest()[:16]


@contextmanager
def filled_once(folder: Path) -> Iterator[Path | None]:
    """Makes a folder of the cache: whole, or not at all, and by one process at a time.

    Yields:
        An empty folder to fill, which gets the name `folder` in the end; None if that is there
        already.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            yield None
            return
        filling = folder.parent / ".filling"
        shutil.rmtree(filling, ignore_errors=True)  # of a process that was killed
        filling.mkdir()
        try:
            yield filling
            filling.rename(folder)
        finally:
            shutil.rmtree(filling, ignore_errors=True)


def keep_newest(folder: Path, count: int) -> None:
    """Removes all but the `count` folders in it that were used last."""
    filled = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    for old in sorted(filled, key=lambda entry: entry.stat().st_mtime)[:-count]:
        shutil.rmtree(old, ignore_errors=True)
