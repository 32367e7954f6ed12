"""What can be wrong with a published model: each kind with its meaning and what to do, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        severity: "error": a server or a rollout is or will be misled; "warning": nobody is misled
            yet; "note": nothing is wrong, but somebody should know.
        means: What it means.
        do: What to do.
        mends: What `--repair` does; empty: it is not safe to do anything by itself.
    """

    severity: Severity
    means: str
    do: str
    mends: str = ""


KINDS: dict[str, Kind] = {
    "damaged_ledger": Kind(
        "error",
        "Nothing can be published or removed: it is unknown which numbers are taken.",
        "Restore the object from a backup. Without one, delete it and run `slipway fsck --repair`, "
        "which binds every version that is there again.",
    ),
    "damaged_channel": Kind(
        "error",
        "Servers and rollouts cannot know which version the channel means.",
        "Restore the object from a backup, or delete it and roll out again.",
    ),
    "damaged_manifest": Kind(
        "error",
        "The version cannot be verified, so it counts as not there; a server would load it.",
        "Upgrade Slipway if the schema is newer. Otherwise publish the model again and move the "
        "folder away.",
    ),
    "torn_version": Kind(
        "error",
        "A file that the manifest lists is missing or has another size: whoever loads the version "
        "gets half a model.",
        "Roll out another version if a channel points to it. Then delete its slipway.json and "
        "publish the same content again: it is completed under its number. Without that content, "
        "move the folder away.",
    ),
    "corrupted_file": Kind(
        "error",
        "The bytes are not those that were published and validated.",
        "As for a torn version. Ask who else writes to the bucket.",
    ),
    "unexpected_file": Kind(
        "warning",
        "A file lies in the version that was not published with it; a server may read it.",
        "Move it away, unless its owner knows better.",
    ),
    "lost_version": Kind(
        "error",
        "The ledger says that the version is published, but it has no manifest.",
        "If its files are there: `slipway adopt` gives it a manifest, provided that they are the "
        "published ones. If not: publish the model again.",
        mends="marks it as removed, if none of its files is left and no channel points to it",
    ),
    "foreign_version": Kind(
        "error",
        "A folder that bears a number, but has no manifest and is unknown to the ledger. A server "
        "that reads the bucket loads it, unverified.",
        "If it is meant to be a version: `slipway adopt MODEL --version N`. If not: move it away.",
    ),
    "uncommitted_folder": Kind(
        "note",
        "Files of a publisher that is at work or has died.",
        "Nothing while it works. Publishing the same content again completes it; `slipway gc` "
        "removes it once nothing was written to it for long enough.",
    ),
    "removed_remains": Kind(
        "warning",
        "A retention was killed: files of a removed version are left.",
        "Run `slipway gc`.",
        mends="completes the removal, unless a channel points to the version",
    ),
    "unbound_version": Kind(
        "error",
        "The version has a manifest, but the ledger does not know its number: the same content "
        "would be published once more.",
        "Run `slipway fsck --repair`. Ask who restored or edited the ledger.",
        mends="binds the number to the content",
    ),
    "ledger_disagrees": Kind(
        "error",
        "Ledger and manifest name different contents for one number.",
        "Find out which is right: somebody restored the ledger or copied the folder. Move the "
        "folder away if it is not what the ledger says.",
    ),
    "unmarked_version": Kind(
        "warning",
        "A publisher died after its commit: the version is whole, but the ledger does not say so.",
        "Run `slipway fsck --repair`, or publish the same content again.",
        mends="marks it as published",
    ),
    "number_taken": Kind(
        "error",
        "The next number that the ledger would give out is taken.",
        "Run `slipway fsck --repair` before anything is published.",
        mends="lets numbers go on above the highest that is taken",
    ),
    "channel_without_version": Kind(
        "error",
        "The channel points to a version that is not there: whoever follows it gets nothing.",
        "Roll out a version that is there: `slipway versions`.",
    ),
    "channel_disagrees": Kind(
        "error",
        "The channel means other content than the version holds.",
        "Roll out the version that was validated.",
    ),
    "missing_golden": Kind(
        "error",
        "The golden requests that the manifest names are missing or not those: a rollout of the "
        "version is refused.",
        "Restore the object from a backup, or roll out a version that has its own.",
    ),
    "orphaned_golden": Kind(
        "note",
        "Golden requests of a version that was removed.",
        "Run `slipway gc`.",
        mends="deletes them",
    ),
    "staging": Kind(
        "note",
        "What a publisher is staging, or left when it died.",
        "Nothing: the next publisher or `slipway gc` clears it, when it is old enough.",
    ),
    "foreign_number": Kind(
        "error",
        "A folder whose name a server reads as a number, though no version is written so.",
        "Move it away.",
    ),
    "foreign_object": Kind(
        "note",
        "Neither a version nor bookkeeping; servers ignore it, and so does retention.",
        "Nothing, if it is known. Otherwise move it away.",
    ),
}


class Finding(BaseModel):
    """One thing that was found.

    Attributes:
        kind: A key of `KINDS`.
        severity: As the kind's.
        path: Relative to the base URI.
        version: The version that it concerns, if one.
        what: What was seen.
        means: What it means.
        do: What to do.
        repaired: Whether `--repair` has mended it.
        left: Why `--repair` did not.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    severity: Severity
    path: str
    version: int | None = None
    what: str
    means: str
    do: str
    repaired: bool = False
    left: str = ""

    @property
    def is_problem(self) -> bool:
        """Whether somebody still has to do something."""
        return self.severity != "note" and not self.repaired


def finding(kind: str, path: str, what: str, version: int | None = None) -> Finding:
    """A finding with what its kind says."""
    entry = KINDS[kind]
    return Finding(
        kind=kind,
        severity=entry.severity,
        path=path,
        version=version,
        what=what,
        means=entry.means,
        do=entry.do,
    )
