"""Processes that begin the same thing at the same moment."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.errors import SlipwayError
from slipway.serving.channels import move_channel
from slipway.serving.publish import publish
from slipway.storage import StoreCredentials, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Barrier

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["support.racing", "slipway.storage.gcs", "slipway.storage.local", "slipway.storage.s3"]
)
_SECONDS = 120


@dataclass(frozen=True)
class Place:
    """Where they meet."""

    uri: str
    credentials: StoreCredentials | None
    model: str


def race(runner: Callable[..., Any], place: Place, entries: Sequence[Any]) -> list[Any]:
    """Runs ``runner(place, barrier, entry)`` in a process for each entry.

    Returns:
        What each returned, or the error that it raised, in the order of the entries.
    """
    barrier = _CONTEXT.Barrier(len(entries), timeout=_SECONDS)
    results: Any = _CONTEXT.Queue()
    processes = [
        _CONTEXT.Process(target=_run, args=(results, index, runner, place, barrier, entry))
        for index, entry in enumerate(entries)
    ]
    try:
        for process in processes:
            process.start()
        found = dict(results.get(timeout=_SECONDS) for _ in processes)
    finally:
        for process in processes:
            process.join(5)
            process.kill()
            process.join()
    return [found[index] for index in range(len(entries))]


def _run(
    results: Any, index: int, runner: Callable[..., Any], place: Place, barrier: Barrier, entry: Any
) -> None:
    try:
        results.put((index, runner(place, barrier, entry)))
    except Exception as error:  # noqa: BLE001 - the test judges it
        results.put((index, error))


def publishes(place: Place, barrier: Barrier, folder: str) -> Any:
    """A publisher."""
    store = open_store(place.uri, place.credentials)
    store.list("nothing")  # opens its connection, so that all begin at once
    barrier.wait()
    return publish(store, place.model, Path(folder), variant="v", metrics={}, golden=b"{}")


def moves(place: Place, barrier: Barrier, moves: Sequence[tuple[int, str]]) -> list[str]:
    """A run that moves the channel stable in turns, each time from the generation of the turn.

    Args:
        place: Where.
        barrier: Every turn begins for all at once.
        moves: Version and digest of each turn.

    Returns:
        Of each turn: "moved", or who was faster.
    """
    store = open_store(place.uri, place.credentials)
    answers = []
    for generation, (version, digest) in enumerate(moves):
        barrier.wait()
        try:
            move_channel(
                store,
                place.model,
                "stable",
                version=version,
                digest=digest,
                expected_generation=generation,
                moved_by=f"run{version}",
            )
        except SlipwayError as error:
            answers.append(f"{error.kind}: {error.message}")
        else:
            answers.append("moved")
        barrier.wait()
    return answers
