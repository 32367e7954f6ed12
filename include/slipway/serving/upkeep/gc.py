"""Retention: what is no longer needed goes, in an order in which it may die at any instant.

1. The ledger says "removed": who publishes the same content from here on gets a new number.
2. The channels are read again: a version that became stable or canary meanwhile is reprieved.
3. The manifest goes, then saved_model.pb, then everything else. What a dying delete leaves looks
   whole to nobody, and the next run finds it by the ledger and completes it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, computed_field

from slipway.errors import TerminalError
from slipway.serving.layout import MANIFEST_NAME, SERVABLE_MARKERS, Layout
from slipway.serving.ledger import mark, reprieve
from slipway.serving.upkeep.survey import PROBES, newest, read_channels, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from slipway.serving.ledger import VersionState
    from slipway.serving.upkeep.survey import Folder, Survey
    from slipway.storage import ObjectInfo, Store

# A publisher that has written nothing for a day is dead; no clock is a day wrong unnoticed.
LEFTOVERS_OLDER_THAN = timedelta(days=1)

Rubbish = Literal["version", "unfinished_removal", "uncommitted", "staging", "golden", "probe"]


class Removal(BaseModel):
    """Something that retention removes, or would.

    Attributes:
        kind: "version": beyond the last N; "unfinished_removal": what a killed retention left;
            "uncommitted": the folder of a publisher that died; "staging": what one had staged;
            "golden": golden requests of a removed version; "probe": what a killed check of access
            left.
        path: Relative to the base URI.
        version: Of a version's folder or golden requests.
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
        waiting: Leftovers that are not old enough, or whose age the store does not tell.
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
    """Removes all but the newest versions and those that a channel points to, and dead leftovers.

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
        going = _Removing(store, found, progress).run(plan.going)
    return GcReport(
        model=model,
        dry_run=dry_run,
        kept=tuple(sorted(plan.kept - plan.undecided, reverse=True)),
        removed=tuple(going),
        waiting=tuple(plan.waiting),
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
        self.undecided = {v for v in living if not found.folders[v].is_committed}
        for version in newest_first:
            if version not in self.kept:
                self._go("version", version, f"beyond the last {keep_versions}")
        for version in sorted(found.folders.keys() - set(living), reverse=True):
            self._add_unfinished(version)
        for version, info in sorted(found.golden.items()):
            if self._state(version) == "removed" and version not in found.folders:
                self.going.append(_removal("golden", [info], "its version was removed", version))
        self._add_old("staging", found.staging)

    def add_probes(self, probes: Sequence[ObjectInfo]) -> None:
        """Plans for what killed checks of access left."""
        self._add_old("probe", probes)

    def _state(self, version: int) -> VersionState | None:
        ledger = self._found.ledger
        entry = ledger.versions.get(version) if ledger else None
        return entry.state if entry else None

    def _lives(self, folder: Folder) -> bool:
        """Whether a folder is a version, or something that only a person may decide on."""
        state = self._state(folder.version)
        if state == "removed":
            return folder.manifest is not None and folder.version in self._found.pointed_to
        return folder.is_committed or state != "allocated"

    def _must_stay(self, version: int) -> bool:
        foreign = self._state(version) is None
        unread = self._found.folders[version].manifest is None
        return foreign or unread or version in self._found.pointed_to

    def _add_unfinished(self, version: int) -> None:
        if self._state(version) == "removed":
            self._go("unfinished_removal", version, "a retention was killed here")
            return
        folder = self._found.folders[version]
        why = "a publisher died before it committed"
        self._by_age(_removal("uncommitted", folder.objects, why, version), folder.objects)

    def _add_old(self, kind: Literal["staging", "probe"], objects: Iterable[ObjectInfo]) -> None:
        for info in objects:
            why = "whoever made it died"
            self._by_age(_removal(kind, [info], why), [info])

    def _go(self, kind: Rubbish, version: int, why: str) -> None:
        objects = self._found.folders[version].objects
        self.going.append(_removal(kind, objects, why, version))

    def _by_age(self, removal: Removal, objects: list[ObjectInfo]) -> None:
        written = newest(objects)
        old = written is not None and written < self._before
        (self.going if old else self.waiting).append(removal)


class _Removing:
    """Carries a plan out."""

    def __init__(
        self, store: Store, found: Survey, progress: Callable[[Removal], None] | None
    ) -> None:
        self._store = store
        self._found = found
        self._layout = Layout(found.model)
        self._progress = progress

    def run(self, plan: Sequence[Removal]) -> Sequence[Removal]:
        """Removes, and returns what really went."""
        ledger = self._found.ledger
        for version in self._found.pointed_to:
            folder = self._found.folders.get(version)
            entry = ledger.versions.get(version) if ledger else None
            if folder and folder.manifest and entry and entry.state == "removed":
                reprieve(self._store, self._found.model, version)
        withdrawn = [one for one in plan if self._withdraw(one)]
        read_channels(self._store, self._found)
        if self._found.damages:
            raise next(iter(self._found.damages.values()))
        gone = []
        for removal in withdrawn:
            if removal.kind == "version" and removal.version in self._found.pointed_to:
                reprieve(self._store, self._found.model, removal.version)
                continue
            if self._progress is not None:
                self._progress(removal)
            self._remove(removal)
            gone.append(removal)
        return gone

    def _withdraw(self, removal: Removal) -> bool:
        if removal.kind not in {"version", "uncommitted"} or removal.version is None:
            return True
        return mark(self._store, self._found.model, removal.version, "removed")

    def _remove(self, removal: Removal) -> None:
        if removal.version is None or removal.kind == "golden":
            self._store.delete(removal.path)
            return
        prefix = self._layout.version_prefix(removal.version)
        self._store.discard(prefix, commit=MANIFEST_NAME, first=SERVABLE_MARKERS[::-1])
        self._store.delete(self._layout.golden(removal.version))


def _removal(
    kind: Rubbish, objects: Sequence[ObjectInfo], why: str, version: int | None = None
) -> Removal:
    path = objects[0].path
    if version is not None and kind != "golden":
        model, number, *_ = path.split("/")
        path = f"{model}/{number}"
    size = sum(info.size for info in objects)
    return Removal(kind=kind, path=path, version=version, size_bytes=size, why=why)
