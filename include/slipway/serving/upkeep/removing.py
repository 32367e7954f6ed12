"""Removal: what retention has decided is carried out, while others publish and roll out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.serving.layout import MANIFEST_NAME, SERVABLE_MARKERS, Layout
from slipway.serving.ledger_changes import mark, reprieve
from slipway.serving.upkeep.survey import BESIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slipway.serving.upkeep.gc import Removal
    from slipway.serving.upkeep.survey import Survey
    from slipway.storage import Store


def remove(
    store: Store,
    found: Survey,
    plan: Sequence[Removal],
    progress: Callable[[Removal], None] | None = None,
) -> Sequence[Removal]:
    """Removes what is planned, but nothing that came to life since the survey.

    Args:
        store: Open at the base URI.
        found: The survey that the plan was made from.
        plan: What is to go.
        progress: Called before each removal.

    Returns:
        What really went.

    Raises:
        TerminalError: The store refuses.
        TransientError: The store does not answer.
    """
    _take_back(store, found)
    gone = []
    for removal in plan:
        if not _withdraw(store, found, removal):
            continue
        if progress is not None:
            progress(removal)
        _delete(store, found, removal)
        gone.append(removal)
    return gone


def _take_back(store: Store, found: Survey) -> None:
    """A restored channel may point to what was to be removed; its files are still there."""
    for version in found.pointed_to:
        folder = found.folders.get(version)
        entry = found.ledger.versions.get(version) if found.ledger else None
        if folder and folder.manifest and entry and entry.state == "removed":
            reprieve(store, found.model, version, "published")


def _withdraw(store: Store, found: Survey, removal: Removal) -> bool:
    """Whether it may go: no version without the ledger's word, nothing to which somebody writes."""
    version = removal.version
    if version is None or removal.kind in BESIDE:
        return True
    entry = found.ledger.versions.get(version) if found.ledger else None
    if removal.kind == "unfinished_removal":
        return not _is_written_to(store, found, version)
    if entry is None or not mark(store, found.model, version, "removed", only=entry.state):
        return False
    if removal.kind == "uncommitted" and _is_written_to(store, found, version):
        reprieve(store, found.model, version, "allocated")
        return False
    return True


def _is_written_to(store: Store, found: Survey, version: int) -> bool:
    """Whether the folder holds anything that the survey has not seen: a publisher is at work."""
    now = store.list(Layout(found.model).version_prefix(version))
    return not set(now) <= set(found.folders[version].objects)


def _delete(store: Store, found: Survey, removal: Removal) -> None:
    if removal.version is None or removal.kind in BESIDE:
        store.delete(removal.path)
        return
    layout = Layout(found.model)
    prefix = layout.version_prefix(removal.version)
    store.discard(prefix, commit=MANIFEST_NAME, first=SERVABLE_MARKERS[::-1])
    store.delete(layout.golden(removal.version))
    if removal.version in found.triton:
        store.delete(layout.triton(removal.version))
