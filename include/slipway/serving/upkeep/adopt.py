"""Adoption: a folder that a person copied into the bucket by hand becomes a version."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.content import FileEntry, digest_of, file_digest
from slipway.errors import TerminalError
from slipway.serving.layout import (
    MANIFEST_NAME,
    SERVABLE_MARKERS,
    Layout,
    Manifest,
    Provenance,
    Technique,
    find_manifest,
)
from slipway.serving.ledger_changes import bind, mark, read_ledger, release
from slipway.storage import PreconditionFailed
from slipway.storage.base import clean_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slipway.storage import ObjectInfo, Store

ADOPTED = "adopted by hand"

_PARALLEL_READS = 4
_TFLITE_MAGIC = slice(4, 8)


@dataclass(frozen=True, slots=True)
class Adopted:
    """What an adoption has come to.

    Attributes:
        manifest: The version's manifest.
        already_adopted: Whether it was there before; then this call changed nothing.
        dry_run: Whether nothing was written.
    """

    manifest: Manifest
    already_adopted: bool = False
    dry_run: bool = False


def adopt(
    store: Store,
    model: str,
    version: int,
    *,
    variant: str = "adopted",
    by: str = "",
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
    prove: Callable[[Path], None] | None = None,
) -> Adopted:
    """Reads a folder without a manifest from the bucket and writes the manifest that it lacks.

    The folder keeps its number, which the ledger binds to the content for ever. Nothing says how
    the model was made or measured: it has no metrics and no golden requests.

    Args:
        store: Open at the base URI.
        model: The model's name.
        version: The folder's name.
        variant: What to call it.
        by: The person or run that adopts it.
        dry_run: Read everything and write nothing.
        progress: Called with the bytes read so far and in all.
        prove: Called with a copy of the folder before anything is written; what it raises ends
            the adoption.

    Raises:
        TerminalError: There is no such folder; it is neither a SavedModel nor TFLite; a publisher
            is at work there; the number or the content belongs to another version; the files
            change meanwhile; or the store refuses.
        TransientError: The store does not answer.
    """
    existing = find_manifest(store, model, version)
    if existing is not None:
        return _known(store, existing, dry_run=dry_run)
    layout = Layout(model)
    prefix = layout.version_prefix(version)
    objects = list(store.list(prefix))
    files = _read(store, objects, prefix, progress, prove)
    _unchanged(store, prefix, objects)
    manifest = Manifest(
        model=model,
        version=version,
        digest=digest_of(files),
        files=tuple(files),
        variant=variant,
        provenance=Provenance(techniques=(Technique(name=ADOPTED),), run=by or ADOPTED),
        created_at=datetime.now(UTC),
    )
    _free_for(store, manifest)
    if dry_run:
        return Adopted(manifest, dry_run=True)
    bound = bind(store, model, version, manifest.digest, by_hand=True)
    if bound.digest != manifest.digest or bound.state == "removed":
        raise _taken(manifest)
    return _commit(store, manifest, objects)


def _known(store: Store, manifest: Manifest, *, dry_run: bool) -> Adopted:
    if manifest.provenance.techniques != (Technique(name=ADOPTED),):
        raise TerminalError(
            f"Version {manifest.version} of {manifest.model} was published: it has a manifest.",
            hint="Nothing needs to be adopted; `slipway fsck` says if something is wrong with it.",
            subject=Layout(manifest.model).manifest(manifest.version),
        )
    if not dry_run:
        mark(store, manifest.model, manifest.version, "published")
    return Adopted(manifest, already_adopted=True, dry_run=dry_run)


def _read(
    store: Store,
    objects: Sequence[ObjectInfo],
    prefix: str,
    progress: Callable[[int, int], None] | None,
    prove: Callable[[Path], None] | None,
) -> list[FileEntry]:
    names = [info.path.removeprefix(f"{prefix}/") for info in objects]
    if not objects:
        raise TerminalError(
            f"There is no folder {store.uri}/{prefix}.",
            hint="Copy the model there first, saved_model.pb last, or correct the version.",
            subject=prefix,
        )
    _looks_whole(f"{store.uri}/{prefix}", {n: i.size for n, i in zip(names, objects, strict=True)})
    total, done, entries = sum(info.size for info in objects), 0, []
    with (
        tempfile.TemporaryDirectory(prefix="slipway-adopt-") as scratch,
        ThreadPoolExecutor(_PARALLEL_READS) as pool,
    ):

        def fetch(number: int) -> FileEntry:
            local = Path(scratch, clean_path(names[number]))
            local.parent.mkdir(parents=True, exist_ok=True)
            store.download(objects[number].path, local)
            if names[number] == "model.tflite":
                _is_tflite(local, f"{store.uri}/{objects[number].path}")
            entry = FileEntry(names[number], local.stat().st_size, file_digest(local))
            if prove is None:
                local.unlink()
            return entry

        for entry in pool.map(fetch, range(len(objects))):
            entries.append(entry)
            done += entry.size
            if progress is not None:
                progress(done, total)
        if prove is not None:
            prove(Path(scratch))
    return sorted(entries, key=lambda entry: entry.path)


def _looks_whole(where: str, sizes: dict[str, int]) -> None:
    if sizes.keys().isdisjoint(SERVABLE_MARKERS):
        raise TerminalError(
            f"{where} holds neither {' nor '.join(SERVABLE_MARKERS)}: no server could load it.",
            hint="Copy what lies inside the exported folder, not the folder itself.",
            subject=where,
        )
    empty = [
        name for name in (*SERVABLE_MARKERS, "variables/variables.index") if sizes.get(name) == 0
    ]
    weights = any(name.startswith("variables/variables.data-") for name in sizes)
    if "saved_model.pb" in sizes and weights != ("variables/variables.index" in sizes):
        missing = "variables/variables.index" if weights else "variables/variables.data-*"
        raise _incomplete(where, f"{missing} is missing")
    if empty:
        raise _incomplete(where, f"{empty[0]} is empty")


def _is_tflite(local: Path, where: str) -> None:
    with local.open("rb") as stream:
        if stream.read(8)[_TFLITE_MAGIC] != b"TFL3":
            raise _incomplete(where, "it is no TFLite file: TFL3 is not at byte 4")


def _incomplete(where: str, problem: str) -> TerminalError:
    return TerminalError(
        f"{where} is not a whole model: {problem}.",
        hint="Copy the exported folder again, then adopt it.",
        subject=where,
    )


def _unchanged(store: Store, prefix: str, objects: Sequence[ObjectInfo]) -> None:
    now = [info for info in store.list(prefix) if info.path != f"{prefix}/{MANIFEST_NAME}"]
    if now != list(objects):
        changed = sorted({info.path for info in set(now) ^ set(objects)})
        raise TerminalError(
            f"{changed[0]} changed while version {prefix} was being adopted.",
            hint="Wait until nobody copies there any more, then adopt it again.",
            subject=changed[0],
            details={"changed": changed},
        )


def _free_for(store: Store, manifest: Manifest) -> None:
    ledger = read_ledger(store, manifest.model)
    entry = ledger.versions.get(manifest.version)
    if entry is not None and (entry.digest != manifest.digest or entry.state == "removed"):
        raise _taken(manifest)
    twin = ledger.version_of(manifest.digest)
    if twin is not None and twin != manifest.version:
        raise TerminalError(
            f"Version {twin} of {manifest.model} has exactly this content.",
            hint=f"Roll out version {twin}, and move the folder {manifest.version} away.",
            subject=Layout(manifest.model).version_prefix(manifest.version),
        )


def _taken(manifest: Manifest) -> TerminalError:
    return TerminalError(
        f"Number {manifest.version} of {manifest.model} belongs to other content in the ledger: a "
        "publisher is at work there, or the number was used before.",
        hint="Rename the folder to a number above all others, then adopt that.",
        subject=Layout(manifest.model).version_prefix(manifest.version),
    )


def _commit(store: Store, manifest: Manifest, objects: Sequence[ObjectInfo]) -> Adopted:
    layout = Layout(manifest.model)
    try:
        store.put(layout.manifest(manifest.version), manifest.to_bytes(), if_absent=True)
    except PreconditionFailed:
        winner = find_manifest(store, manifest.model, manifest.version)
        if winner is None or winner.digest != manifest.digest:
            raise
        return Adopted(winner, already_adopted=True)
    try:
        _unchanged(store, layout.version_prefix(manifest.version), objects)
    except TerminalError:
        store.delete(layout.manifest(manifest.version))
        release(store, manifest.model, manifest.version, manifest.digest)
        raise
    mark(store, manifest.model, manifest.version, "published")
    return Adopted(manifest)
