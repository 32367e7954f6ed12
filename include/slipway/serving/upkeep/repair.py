"""Repair: what `fsck` found and can be mended without a decision of a person's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.serving.layout import MANIFEST_NAME, SERVABLE_MARKERS, Layout
from slipway.serving.ledger_changes import bind, mark, skip_numbers
from slipway.serving.upkeep.findings import KINDS
from slipway.serving.upkeep.survey import survey

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.serving.upkeep.findings import Finding
    from slipway.serving.upkeep.fsck import FsckReport
    from slipway.serving.upkeep.survey import Survey
    from slipway.storage import Store


def repair(store: Store, report: FsckReport) -> FsckReport:
    """Mends what is safe; the report then says of each finding whether it is mended, or why not.

    Every mend looks at the bucket anew, writes conditionally, and can be repeated.

    Raises:
        TerminalError: The store refuses.
        TransientError: The store does not answer.
    """
    mended = [_mended(store, report.model, one) for one in report.findings]
    return report.model_copy(update={"findings": tuple(mended)})


def _mended(store: Store, model: str, one: Finding) -> Finding:
    mend = _MENDS.get(one.kind)
    if mend is None or one.version is None:
        assert not KINDS[one.kind].mends  # noqa: S101 - a kind that promises a mend has one
        return one.model_copy(update={"left": "a person has to decide"})
    left = mend(store, survey(store, model), one.version)
    return one.model_copy(update={"repaired": not left, "left": left})


def _bind(store: Store, found: Survey, version: int) -> str:
    folder = found.folders.get(version)
    if folder is None or folder.manifest is None:
        return "the version is gone"
    digest = folder.manifest.digest
    entry = bind(store, found.model, version, digest)
    if entry.digest != digest:
        return f"the number is bound to {entry.digest[:12]} by now"
    return _publish(store, found, version)


def _publish(store: Store, found: Survey, version: int) -> str:
    folder = found.folders.get(version)
    if folder is None or folder.manifest is None:
        return "the version is gone"
    marked = mark(store, found.model, version, "published")
    return "" if marked else "it is being removed"


def _forget(store: Store, found: Survey, version: int) -> str:
    # The listing of the survey is older than its ledger, so it proves nothing here.
    if store.list(Layout(found.model).version_prefix(version)):
        return "some of its files are there"
    if version in found.pointed_to:
        return "a channel points to it"
    marked = mark(store, found.model, version, "removed", only="published")
    return "" if marked else "a channel is about to point to it"


def _finish_removal(store: Store, found: Survey, version: int) -> str:
    if version in found.pointed_to:
        return "a channel points to it"
    if found.damages:
        return "the ledger or a channel is damaged"
    entry = found.ledger.versions.get(version) if found.ledger else None
    if entry is None or entry.state != "removed":
        return "it is not removed any more"
    layout = Layout(found.model)
    prefix = layout.version_prefix(version)
    store.discard(prefix, commit=MANIFEST_NAME, first=SERVABLE_MARKERS[::-1])
    store.delete(layout.golden(version))
    return ""


def _skip(store: Store, found: Survey, version: int) -> str:
    skip_numbers(store, found.model, version)
    return ""


def _delete_golden(store: Store, found: Survey, version: int) -> str:
    if version in found.folders:
        return "the version's files are there"
    store.delete(Layout(found.model).golden(version))
    return ""


_MENDS: dict[str, Callable[[Store, Survey, int], str]] = {
    "unbound_version": _bind,
    "unmarked_version": _publish,
    "lost_version": _forget,
    "removed_remains": _finish_removal,
    "number_taken": _skip,
    "orphaned_golden": _delete_golden,
}
