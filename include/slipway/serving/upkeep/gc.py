"""Retention: what is no longer needed goes, in an order in which it may die at any instant.

1. The ledger says "removed", unless a channel points to the version or is about to, or it is the
   fallback of another: from here on nobody can point to it, and who publishes the same content
   gets a new number.
2. The manifest goes, then saved_model.pb, then everything else. What a dying delete leaves looks
   whole to nobody, and the next run finds it by the ledger and completes it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, computed_field

from slipway.errors import TerminalError
from slipway.serving.layout import parse_version
from slipway.serving.upkeep.removing import remove
from slipway.serving.upkeep.survey import BESIDE, PROBES, newest, staged_for, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slipway.serving.ledger import LedgerEntry, VersionState
    from slipway.serving.upkeep.survey import Folder, Survey
    from slipway.storage import ObjectInfo, Store

# A publisher that has written nothing for a day is dead; no clock is a day wrong unnoticed.
LEFTOVERS_OLDER_THAN = timedelta(days=1)

_DIED = "whoever made it died"

Rubbish = Literal[
    "version", "unfinished_removal", "uncommitted", "staging", "golden", "triton", "probe"
]


class Removal(BaseModel):
    """Something that retention removes, or would.

    Attributes:
        kind: "version": beyond the last N; "unfinished_removal": what a killed retention left;
            "uncommitted": the folder of a publisher that died; "staging": what one had staged;
            "golden": golden requests of a removed version; "triton": Triton's config of one;
            "probe": what a killed check of access left.
        path: Relative to the base URI.
        version: Of a version's folder, golden requests or config.
        size_bytes: Bytes in the store.
        why: In words.
    """

    model_config = ConfigDict(frozen=True)

    kind: Rubbish
    path: str
    version: int | None = None
    size_bytes: int
    why: str


class GcReport(BaseModel):
    """What one retention did, or with `dry_run` would do.

    Attributes:
        model: The model's name.
        dry_run: Whether nothing was touched.
        kept: The versions that stay, newest first.
        removed: What went.
        waiting: Leftovers that are not old enough, whose age the store does not tell, or to which
            somebody wrote meanwhile; and versions that two published at once, as long.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    dry_run: bool
    kept: tuple[int, ...]
    removed: tuple[Removal, ...]
    waiting: tuple[Removal, ...] = ()

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way to show a property
    @property
    def freed_bytes(self) -> int:
        """Bytes that went."""
        return sum(removal.size_bytes for removal in self.removed)

    @property
    def removed_versions(self) -> tuple[int, ...]:
        """The versions that this run took out of service, newest first."""
        return tuple(one.version for one in self.removed if one.kind == "version" and one.version)


def collect(
    store: Store,
    model: str,
    keep_versions: int,
    *,
    leftovers_older_than: timedelta = LEFTOVERS_OLDER_THAN,
    dry_run: bool = False,
    now: datetime | None = None,
    progress: Callable[[Removal], None] | None = None,
) -> GcReport:
    """Removes all but the newest versions, those that a channel points to, and dead leftovers.

    What stays keeps its fallback: a version with engines is of no use on other hardware without.

    Foreign content is never touched: that is every folder whose number the ledger does not know,
    and everything that is neither a version nor bookkeeping. A version whose manifest cannot be
    read stays too: `fsck` says what is wrong with it. Removed numbers never come back; the evidence
    of their rollouts stays.

    Args:
        store: Open at the base URI.
        model: The model's name.
        keep_versions: How many of the newest published versions stay; at least 1.
        leftovers_older_than: For how long nothing was written to the staging or uncommitted folder
            of a publisher before it counts as dead. It must be longer than a publisher may pause.
            So long stays, too, what two publishers began at once.
        dry_run: Touch nothing, only say what would go.
        now: The time; default: by this machine's clock.
        progress: Called before each removal.

    Raises:
        TerminalError: `keep_versions` is less than 1; the ledger or a channel is damaged, so that
            it is unknown what must stay; or the store refuses.
        TransientError: The store does not answer; the next run completes what this one began.
    """
    if keep_versions < 1:
        raise TerminalError(
            f"keep_versions is {keep_versions}; at least one version must stay.",
            hint="Set keep_versions to 1 or more.",
            subject="keep_versions",
        )
    before = (now or datetime.now(UTC)) - leftovers_older_than
    found = survey(store, model)
    if found.damages:
        raise next(iter(found.damages.values()))
    plan = _Plan(found, keep_versions, before)
    plan.add_probes(store.list(PROBES))
    going: Sequence[Removal] = plan.going
    if not dry_run:
        going = remove(store, found, plan.going, progress)
    stayed = [one for one in plan.going if one not in going]
    kept = plan.kept - plan.undecided
    kept |= {one.version for one in stayed if one.kind == "version" and one.version}
    return GcReport(
        model=model,
        dry_run=dry_run,
        kept=tuple(sorted(kept, reverse=True)),
        removed=tuple(going),
        waiting=(*plan.waiting, *(one for one in stayed if one.kind != "version")),
    )


class _Plan:
    """Which parts of a survey go, which stay, and which are not old enough."""

    def __init__(self, found: Survey, keep_versions: int, before: datetime) -> None:
        self.going: list[Removal] = []
        self.waiting: list[Removal] = []
        self._found = found
        self._before = before
        living = [v for v, folder in found.folders.items() if self._lives(folder)]
        committed = [v for v in living if found.folders[v].manifest is not None]
        newest_first = sorted(committed, reverse=True)
        last = newest_first[:keep_versions]
        self.kept = {*last, *(v for v in living if self._must_stay(v))}
        self.kept |= self._fallbacks(committed)
        self.undecided = {v for v in living if not found.folders[v].is_committed}
        for version in newest_first:
            if version not in self.kept and not self._waits(version):
                self._go("version", version, f"beyond the last {keep_versions}")
        for version in sorted(found.folders.keys() - set(living), reverse=True):
            self._add_unfinished(version)
        self._add_beside("golden", found.golden)
        self._add_beside("triton", found.triton)
        self._add_staged()

    def add_probes(self, probes: Sequence[ObjectInfo]) -> None:
        """Plans for what killed checks of access left."""
        for info in probes:
            self._by_age(_removal("probe", [info], _DIED), [info])

    def _entry(self, version: int) -> LedgerEntry | None:
        ledger = self._found.ledger
        return ledger.versions.get(version) if ledger else None

    def _state(self, version: int) -> VersionState | None:
        entry = self._entry(version)
        return entry.state if entry else None

    def _lives(self, folder: Folder) -> bool:
        """Whether a folder is a version, or something that only a person may decide on."""
        entry = self._entry(folder.version)
        if entry is not None and entry.state == "removed":
            return folder.manifest is not None and folder.version in self._found.pointed_to
        publishing = entry is not None and entry.state == "allocated" and not entry.by_hand
        return folder.is_committed or not publishing

    def _must_stay(self, version: int) -> bool:
        foreign = self._state(version) is None
        unread = self._found.folders[version].manifest is None
        ledger = self._found.ledger
        wanted = ledger is not None and ledger.is_pointed_to(version)
        return foreign or unread or wanted or version in self._found.pointed_to

    def _waits(self, version: int) -> bool:
        """Whether a second publisher of the version may not know yet that it is there.

        It would commit what is removed meanwhile: a manifest without files.
        """
        entry, objects = self._entry(version), self._found.folders[version].objects
        if entry is None or not entry.shared:
            return False
        written = newest(objects)
        if written is not None and written < self._before:
            return False
        self.waiting.append(_removal("version", objects, "two published it at once", version))
        self.kept.add(version)
        return True

    def _fallbacks(self, committed: Sequence[int]) -> set[int]:
        """Of what stays, and of what is being published: its manifest may come at any moment."""
        ledger, found = self._found.ledger, set[int]()
        for version, entry in ledger.versions.items() if ledger else ():
            coming = version not in committed and entry.state != "removed"
            if entry.fallback is not None and (coming or version in self.kept):
                found.add(entry.fallback)
        for version in self.kept:
            folder = self._found.folders.get(version)
            engine = folder.manifest.engine if folder and folder.manifest else None
            if engine is not None and engine.fallback is not None:
                found.add(engine.fallback.version)
        return found & set(committed)

    def _add_unfinished(self, version: int) -> None:
        if self._state(version) == "removed":
            self._go("unfinished_removal", version, "a retention was killed here")
            return
        folder = self._found.folders[version]
        why = "a publisher died before it committed"
        written = [*folder.objects, *staged_for(self._found, version)]
        self._by_age(_removal("uncommitted", folder.objects, why, version), written)

    def _add_beside(self, kind: Rubbish, objects: Mapping[int, ObjectInfo]) -> None:
        for version, info in sorted(objects.items()):
            if self._state(version) == "removed" and version not in self._found.folders:
                self.going.append(_removal(kind, [info], "its version was removed", version))

    def _add_staged(self) -> None:
        for info in self._found.staging:
            # One file of a long upload is no older than the publisher's last sign of life.
            version = parse_version(info.path.split("/")[3])
            written = staged_for(self._found, version) if version else [info]
            self._by_age(_removal("staging", [info], _DIED), written)

    def _go(self, kind: Rubbish, version: int, why: str) -> None:
        objects = self._found.folders[version].objects
        self.going.append(_removal(kind, objects, why, version))

    def _by_age(self, removal: Removal, objects: list[ObjectInfo]) -> None:
        written = newest(objects)
        old = written is not None and written < self._before
        (self.going if old else self.waiting).append(removal)


def _removal(
    kind: Rubbish, objects: Sequence[ObjectInfo], why: str, version: int | None = None
) -> Removal:
    path = objects[0].path
    if version is not None and kind not in BESIDE:
        model, number, *_ = path.split("/")
        path = f"{model}/{number}"
    size = sum(info.size for info in objects)
    return Removal(kind=kind, path=path, version=version, size_bytes=size, why=why)
