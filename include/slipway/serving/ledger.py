"""The ledger of a model: which version number belongs to which content, for ever.

The document alone; `ledger_changes` reads and writes it.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Collection

VersionState = Literal["allocated", "published", "removed"]


class LedgerEntry(BaseModel):
    """One version: its content and how far it has come.

    "allocated" has a number and perhaps files; "published" has had a manifest; "removed" never
    comes back.

    Attributes:
        digest: Of its content.
        state: See above.
        by_hand: Whether it is being adopted: then its files are a person's, and stay whatever
            becomes of the adoption.
        fallback: The version that serves where this one's engines cannot; it stays as long as
            this one does.
        shared: Whether a second publisher began before the first had finished: one of them may
            pause, and commit long after the other.
    """

    model_config = ConfigDict(frozen=True)

    digest: str
    state: VersionState
    by_hand: bool = False
    fallback: int | None = None
    shared: bool = False


class Move(BaseModel):
    """A channel's move to a version, from its announcement until the channel has moved on."""

    model_config = ConfigDict(frozen=True)

    channel: str
    generation: int
    version: int


SCHEMA_VERSION = 1
"""What this Slipway writes; of a newer one it could lose parts, so it leaves that alone."""


class Ledger(BaseModel):
    """Every version that a model ever had.

    It changes with whatever a follower must know, so that asking for this one object is enough.

    Attributes:
        schema_version: Of this document.
        generation: Every change adds one.
        next_version: The number of the next content.
        versions: By number.
        channels: The generation of each channel as it was last moved.
        moves: Where channels point and are about to point: no such version can be removed.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA_VERSION
    generation: int = 0
    next_version: int = Field(default=1, ge=1)
    versions: dict[int, LedgerEntry] = Field(default_factory=dict)
    channels: dict[str, int] = Field(default_factory=dict)
    moves: tuple[Move, ...] = ()

    def version_of(self, digest: str) -> int | None:
        """The living version that is bound to this content; None if there is none."""
        return next(
            (
                version
                for version, entry in self.versions.items()
                if entry.digest == digest and entry.state != "removed"
            ),
            None,
        )

    def is_pointed_to(self, version: int) -> bool:
        """Whether a channel points to a version, or may do so at any moment."""
        return any(move.version == version for move in self.moves)

    def wants(self, version: int) -> bool:
        """Whether a channel points to it or may, or a living version has it as its fallback."""
        return self.is_pointed_to(version) or any(
            entry.fallback == version and entry.state != "removed"
            for entry in self.versions.values()
        )

    def allocated(self, digest: str, taken: Collection[int] = ()) -> Ledger:
        """This ledger with the next number that nothing bears bound to the content."""
        number = next(n for n in itertools.count(self.next_version) if n not in taken)
        return self.bound(number, digest)

    def bound(self, version: int, digest: str, *, by_hand: bool = False) -> Ledger:
        """This ledger with a number of the caller's choice bound to the content."""
        entry = LedgerEntry(digest=digest, state="allocated", by_hand=by_hand)
        return self.model_copy(
            update={
                "generation": self.generation + 1,
                "next_version": max(self.next_version, version + 1),
                "versions": {**self.versions, version: entry},
            }
        )

    def falling_back(self, version: int, fallback: int) -> Ledger:
        """This ledger with a version's fallback."""
        entry = self.versions[version].model_copy(update={"fallback": fallback})
        return self.model_copy(
            update={
                "generation": self.generation + 1,
                "versions": {**self.versions, version: entry},
            }
        )

    def joined(self, version: int) -> Ledger:
        """This ledger with a version that one more publishes; itself if that is known, or over."""
        known = self.versions[version]
        if known.shared or known.state != "allocated":
            return self
        entry = known.model_copy(update={"shared": True})
        return self.model_copy(
            update={
                "generation": self.generation + 1,
                "versions": {**self.versions, version: entry},
            }
        )

    def released(self, version: int) -> Ledger:
        """This ledger without a number: it is bound to nothing, and still never given out."""
        kept = {number: entry for number, entry in self.versions.items() if number != version}
        return self.model_copy(update={"generation": self.generation + 1, "versions": kept})

    def marked(self, version: int, state: VersionState) -> Ledger:
        """This ledger with a version in another state."""
        known = self.versions[version]
        entry = known.model_copy(update={"state": state, "by_hand": False})
        return self.model_copy(
            update={
                "generation": self.generation + 1,
                "versions": {**self.versions, version: entry},
            }
        )


def parse_ledger(data: bytes, subject: str) -> Ledger:
    """Reads a ledger.

    Raises:
        TerminalError: It is damaged, or a newer Slipway wrote it.
    """
    try:
        ledger = Ledger.model_validate_json(data)
    except ValidationError as error:
        raise TerminalError(
            f"The ledger {subject} is damaged ({error.error_count()} problems).",
            hint="Restore it from a backup; without it version numbers could be used twice.",
            subject=subject,
        ) from None
    if ledger.schema_version > SCHEMA_VERSION:
        raise TerminalError(
            f"The ledger {subject} has schema {ledger.schema_version}; this Slipway knows "
            f"{SCHEMA_VERSION}.",
            hint="Use the Slipway that wrote it, or a newer one.",
            subject=subject,
        )
    return ledger
