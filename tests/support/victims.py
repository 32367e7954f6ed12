"""Publishers, followers and retentions that die where a test wants them to.

Each is a process of its own, forked from a clean one that has everything imported: a start costs
some 20 ms. That clean one keeps the environment of the moment in which it was started.
"""

from __future__ import annotations

import multiprocessing
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.following import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.storage import StoreCredentials
    from support.dying import Death

    # Called with the place, a folder if there is one, and how many versions to keep.
    Work = Callable[["Place", Any, int], None]

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "http.server",
        "slipway.serving.publish",
        "slipway.serving.sync.command",
        "slipway.serving.upkeep.gc",
        "slipway.storage.gcs",
        "slipway.storage.local",
        "slipway.storage.s3",
    ]
)
_SECONDS = 60
GOLDEN = b'{"requests": []}'


@dataclass(frozen=True)
class Place:
    """Where versions are published.

    Attributes:
        kind: "local", "s3" or "gcs".
        uri: An empty place.
        credentials: None for a folder.
    """

    kind: str
    uri: str
    credentials: StoreCredentials | None


def publish_in_process(place: Place, folder: Path, death: Death | None = None) -> bool:
    """Publishes a folder; whether the process came to its end."""
    return _run(_publish, place, folder, 0, death)


def collect_in_process(place: Place, keep: int, death: Death | None = None) -> bool:
    """Runs a retention; whether the process came to its end."""
    return _run(_collect, place, None, keep, death)


def follow_in_process(place: Place, folder: Path, keep: int, death: Death | None = None) -> bool:
    """Follows for one poll; whether the process came to its end."""
    return _run(_follow, place, folder, keep, death)


def _run(work: Work, place: Place, folder: Path | None, keep: int, death: Death | None) -> bool:
    process = _CONTEXT.Process(target=_victim, args=(work, place, folder, keep, death))
    process.start()
    process.join(_SECONDS)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
    assert code in {0, -signal.SIGKILL}, f"it ended with {code} instead of {death}"
    return code == 0


def _victim(work: Work, place: Place, folder: Path | None, keep: int, death: Death | None) -> None:
    from support.dying import die_at

    folders = [folder] if folder is not None else []
    if place.kind == "local":
        folders.append(Path(place.uri))
    credentials = die_at(death, folders, place.credentials)
    work(Place(place.kind, place.uri, credentials), folder, keep)


def _publish(place: Place, folder: Path, _keep: int) -> None:
    from slipway.serving.publish import publish
    from slipway.storage import open_store

    store = open_store(place.uri, place.credentials)
    publish(store, MODEL, folder, variant="original", metrics={}, golden=GOLDEN)


def _collect(place: Place, _folder: None, keep: int) -> None:
    from slipway.serving.upkeep.gc import collect
    from slipway.storage import open_store

    collect(open_store(place.uri, place.credentials), MODEL, keep)


def _follow(place: Place, folder: Path, keep: int) -> None:
    from slipway.serving.sync.follower import Policy
    from slipway.storage import open_store
    from support.following import following

    store = open_store(place.uri, place.credentials)
    with following(store, folder, Policy(keep=keep, reserve_bytes=0)) as made:
        assert made.poll(), made.follower.failures
