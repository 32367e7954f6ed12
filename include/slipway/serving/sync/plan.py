"""Which versions belong on the disk: pure, so that it can be tested alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from slipway.serving.ledger import Ledger


def wanted(
    ledger: Ledger, channels: Collection[int], keep: int, missing: Collection[int]
) -> list[int]:
    """The versions to have, newest first: what channels point to, and the last `keep`.

    Args:
        ledger: Of the model.
        channels: Versions that channels point to.
        keep: How many of the newest.
        missing: Versions that have no manifest: they do not exist.
    """
    living = {
        version
        for version, entry in ledger.versions.items()
        if entry.state != "removed" and version not in missing
    }
    newest = sorted(living, reverse=True)[:keep]
    return sorted({*newest, *channels} - set(missing), reverse=True)


def surplus(
    ledger: Ledger,
    channels: Collection[int],
    keep: int,
    ready: Collection[int],
    in_use: Collection[int],
) -> list[int]:
    """The versions on the disk that may go, oldest first.

    What channels point to and what is in use stays, and of the others the newest `keep`. Those that
    the publisher has removed do not count, as long as another one is left.

    Args:
        ledger: Of the model.
        channels: Versions that channels point to.
        keep: How many of the newest that are in place.
        ready: Versions in place.
        in_use: Versions that a server uses.
    """
    good = [
        version
        for version in ready
        if version in ledger.versions and ledger.versions[version].state != "removed"
    ]
    newest = sorted(good or ready, reverse=True)[:keep]
    return sorted(set(ready) - {*newest, *channels, *in_use})
