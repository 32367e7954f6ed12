"""Changes of the ledger: each is a conditional write, so that of two at once one comes first."""

from __future__ import annotations

import functools
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.errors import TransientError
from slipway.serving.layout import Layout, parse_version
from slipway.serving.ledger import Ledger, LedgerEntry, VersionState, parse_ledger
from slipway.storage import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.storage import Store

_Seen = tuple[Ledger, str | None]

# With n writers at once each round lets one of them through.
_ROUNDS = 40
_LONGEST_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Allocation:
    """A version number that is bound to content.

    Attributes:
        version: The number.
        fresh: Whether it was bound just now: nobody has published under it.
        seen: The ledger as it was then, and its etag.
    """

    version: int
    fresh: bool
    seen: _Seen


def read_ledger(store: Store, model: str) -> Ledger:
    """Reads the ledger; an empty one if the model was never published.

    Raises:
        TerminalError: The ledger is damaged.
    """
    return _read(store, model)[0]


def allocate(store: Store, model: str, digest: str, *, fallback: int | None = None) -> Allocation:
    """Binds a version number to content: the same content gets the same number, always.

    Args:
        store: Open at the base URI.
        model: The model's name.
        digest: Of the content, by `slipway.content.digest_of`.
        fallback: The version that serves where this one cannot: retention leaves it alone from
            here on, before any manifest names it.

    A number whose folder is there is not given out: a person may have copied something into it.

    Returns:
        The number of the living version with this content, or else a number that no version of
        this model ever had.

    Raises:
        TransientError: The fallback was removed meanwhile, or too many others wrote at the same
            time.
    """
    fresh = False
    folders = functools.cache(lambda: _taken(store, model))

    def change(ledger: Ledger) -> Ledger:
        nonlocal fresh
        version = ledger.version_of(digest)
        fresh = version is None
        if version is None:
            # The first number of all was chosen by the folders already.
            ledger = ledger.allocated(digest, folders() if ledger.generation else ())
        else:
            ledger = ledger.joined(version)
        return ledger if fallback is None else _with_fallback(ledger, digest, fallback)

    seen = _move(store, model, change)
    version = seen[0].version_of(digest)
    assert version is not None  # noqa: S101 - the move has just bound it
    return Allocation(version, fresh, seen)


def _with_fallback(ledger: Ledger, digest: str, fallback: int) -> Ledger:
    version = ledger.version_of(digest)
    assert version is not None  # noqa: S101 - it was bound before
    entry = ledger.versions[version]
    if entry.fallback == fallback or entry.state == "published":  # then its manifest names one
        return ledger
    other = ledger.versions.get(fallback)
    if other is not None and other.state == "removed":
        raise TransientError(
            f"Version {fallback}, the fallback of version {version}, was removed by retention in "
            "this moment.",
            hint="Publish again: its content gets a new number.",
            subject=str(fallback),
        )
    return ledger.falling_back(version, fallback)


def mark(
    store: Store,
    model: str,
    version: int,
    state: VersionState,
    *,
    only: VersionState | None = None,
    seen: _Seen | None = None,
) -> bool:
    """Moves a version to another state, unless it is "removed", which is final.

    Nor does it become "removed" while a channel points to it or is about to, or while it is the
    fallback of a living version. From then on nobody publishes under its number or points to it.

    Args:
        store: Open at the base URI.
        model: The model's name.
        version: The version.
        state: The new state.
        only: The state in which the caller knows it: whoever got further meanwhile wins.
        seen: The ledger as the caller last saw it: one request less if nobody wrote since.

    Returns:
        Whether the version is in the state now.
    """

    def change(ledger: Ledger) -> Ledger:
        entry = ledger.versions.get(version)
        if entry is None or entry.state in {state, "removed"}:
            return ledger
        if (only and entry.state != only) or (state == "removed" and ledger.wants(version)):
            return ledger
        return ledger.marked(version, state)

    entry = _move(store, model, change, seen)[0].versions.get(version)
    return entry is not None and entry.state == state


def bind(
    store: Store, model: str, version: int, digest: str, *, by_hand: bool = False
) -> LedgerEntry:
    """Binds a number that a folder bears already to its content, unless it is bound.

    Args:
        store: Open at the base URI.
        model: The model's name.
        version: The number.
        digest: Of the folder's content.
        by_hand: Whether a person copied the folder in: then retention never removes it before it
            is published.

    Returns:
        What the number is bound to now: it is the caller's content only if the digest says so.

    Raises:
        TransientError: Too many others wrote at the same time.
    """

    def change(ledger: Ledger) -> Ledger:
        if version in ledger.versions:
            return ledger
        return ledger.bound(version, digest, by_hand=by_hand)

    return change_ledger(store, model, change).versions[version]


def release(store: Store, model: str, version: int, digest: str) -> None:
    """Takes back a binding by hand that came to nothing.

    Raises:
        TransientError: Too many others wrote at the same time.
    """

    def change(ledger: Ledger) -> Ledger:
        entry = ledger.versions.get(version)
        ours = entry is not None and entry.by_hand and entry.digest == digest
        return ledger.released(version) if ours else ledger

    change_ledger(store, model, change)


def reprieve(store: Store, model: str, version: int, state: VersionState) -> bool:
    """Takes back that a version is removed, for a retention that has touched none of its files.

    Returns:
        Whether it is in the given state now; False if another version has its content by now.
    """

    def change(ledger: Ledger) -> Ledger:
        entry = ledger.versions.get(version)
        if entry is None or entry.state != "removed" or ledger.version_of(entry.digest):
            return ledger
        return ledger.marked(version, state)

    entry = change_ledger(store, model, change).versions.get(version)
    return entry is not None and entry.state == state


def skip_numbers(store: Store, model: str, taken: int) -> None:
    """Makes sure that the next number is higher than one that is taken.

    Raises:
        TransientError: Too many others wrote at the same time.
    """

    def change(ledger: Ledger) -> Ledger:
        if ledger.next_version > taken:
            return ledger
        update = {"generation": ledger.generation + 1, "next_version": taken + 1}
        return ledger.model_copy(update=update)

    change_ledger(store, model, change)


def change_ledger(store: Store, model: str, change: Callable[[Ledger], Ledger]) -> Ledger:
    """Writes what `change` makes of the ledger, on the condition that nobody else wrote.

    Args:
        store: Open at the base URI.
        model: The model's name.
        change: Called with the ledger, once more after each lost race; it returns the very same
            object if there is nothing to write.

    Returns:
        The ledger as it is now.

    Raises:
        TerminalError: The ledger is damaged.
        TransientError: Too many others wrote at the same time.
    """
    return _move(store, model, change)[0]


def _move(
    store: Store, model: str, change: Callable[[Ledger], Ledger], seen: _Seen | None = None
) -> _Seen:
    path = Layout(model).ledger
    for _ in range(_ROUNDS):
        ledger, etag = seen or _read(store, model)
        changed = change(ledger)
        if changed is ledger and seen is None:
            return ledger, etag
        if changed is ledger:
            seen = None  # that nothing is to be done, only what is there now can say
            continue
        data = changed.model_dump_json(indent=1).encode()
        try:
            return changed, store.put(path, data, if_absent=etag is None, if_match=etag)
        except PreconditionFailed:
            seen = None
            time.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - spreads writers
    raise TransientError(
        f"The ledger {path} was written by others {_ROUNDS} times in a row.",
        hint="Publish again when fewer publishers of this model run at once.",
        subject=path,
    )


def _read(store: Store, model: str) -> _Seen:
    path = Layout(model).ledger
    found = store.get(path)
    if found is None:
        return Ledger(next_version=_first_free(store, model)), None
    return parse_ledger(found.data, f"{store.uri}/{path}"), found.etag


def _first_free(store: Store, model: str) -> int:
    """A lost ledger must not hand out numbers that published folders bear."""
    return max(_taken(store, model), default=0) + 1


def _taken(store: Store, model: str) -> frozenset[int]:
    names = (parse_version(name) for name in store.list_folders(model))
    return frozenset(version for version in names if version is not None)
