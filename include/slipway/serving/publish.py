"""Publishing: a folder becomes a version, whole or not at all, under one number for ever."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slipway.content import bytes_digest, digest_of, folder_files, folder_sizes
from slipway.errors import TerminalError, TransientError
from slipway.serving.layout import (
    MANIFEST_NAME,
    SERVABLE_MARKERS,
    Layout,
    Manifest,
    Provenance,
    find_manifest,
)
from slipway.serving.ledger_changes import allocate, mark
from slipway.serving.triton import place_config
from slipway.storage import Commit, PreconditionFailed
from slipway.storage.base import clean_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from slipway.content import FileEntry
    from slipway.serving.engine import Engine
    from slipway.storage import Store

# Each round is lost only to a retention or another publisher in that very moment.
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing has come to.

    Attributes:
        version: The version's number.
        digest: Of its content.
        uri: Its folder.
        already_published: Whether the version was there before; then this call changed nothing.
        uploaded_bytes: Bytes of the model that this call sent.
        requests: Operations that this call asked of the store.
    """

    version: int
    digest: str
    uri: str
    already_published: bool
    uploaded_bytes: int
    requests: int


def publish(  # noqa: PLR0913 - each argument is a fact of its own about the version
    store: Store,
    model: str,
    folder: Path,
    *,
    variant: str,
    metrics: Mapping[str, float],
    provenance: Provenance | None = None,
    golden: bytes | None = None,
    files: Sequence[FileEntry] | None = None,
    progress: Callable[[int, int], None] | None = None,
    removes_later: bool = False,
    engine: Engine | None = None,
    triton_config: str | None = None,
) -> Published:
    """Publishes a folder that a model server can load.

    The same content is the same version, however often and by however many it is published, and
    wherever an earlier attempt was killed; what the manifest says is what its first publisher said.

    It costs one request for each file and for the golden requests, and 6 at most on S3, one more
    if another has begun to publish the same; of a file of more than 8 MiB, one for each such part
    and 2.

    Args:
        store: Open at the base URI.
        model: The model's name.
        folder: Exactly what the server shall load.
        variant: Which variant it is.
        metrics: The figures with which it passed, finite, units in their names.
        provenance: Where it came from.
        golden: Golden requests as JSON, kept beside the version.
        files: What the folder held when it was validated; what is sent must be that. None: what it
            holds now.
        progress: Called with the bytes sent so far and in all, from any thread.
        removes_later: Whether old versions are removed next: then the right to do so is proven
            before anything is sent, by two requests more.
        engine: What its TensorRT engines are bound to; None: it has none.
        triton_config: How Triton serves it; None: it is not for Triton.

    Raises:
        TerminalError: The folder is not what was validated, changes meanwhile or cannot be served;
            a metric is not finite; Triton serves the model with another interface; or the store
            refuses.
        TransientError: The store does not answer.
    """
    files = _as_validated(folder, files) if files is not None else folder_files(folder)
    _servable(folder, files)
    digest = digest_of(files)
    _all_finite(metrics)
    before = store.requests
    for _ in range(_ROUNDS):
        allocation = allocate(store, model, digest, fallback=_fallback(engine))
        version = allocation.version
        existing = None if allocation.fresh else find_manifest(store, model, version)
        sent = _Sent(sum(entry.size for entry in files), progress)
        fresh = False
        if existing is None:
            if removes_later:
                store.prove_removal(Layout(model).version_prefix(version))
            manifest = Manifest(
                model=model,
                version=version,
                digest=digest,
                files=tuple(files),
                variant=variant,
                metrics=dict(metrics),
                provenance=provenance or Provenance(),
                golden_digest=_keep_golden(store, model, version, golden),
                engine=engine,
                created_at=datetime.now(UTC),
            )
            if triton_config is not None:
                place_config(store, model, version, triton_config)
            committed = _commit(store, folder, manifest, sent)
            if committed is None:
                continue
            fresh = committed
        else:
            _same_content(store, existing, digest)
        if mark(store, model, version, "published", seen=allocation.seen):
            return Published(
                version=version,
                digest=digest,
                uri=f"{store.uri}/{Layout(model).version_prefix(version)}",
                already_published=not fresh,
                uploaded_bytes=sent.bytes,
                requests=store.requests - before,
            )
        if fresh:  # a retention withdrew the number meanwhile, and may have deleted under our hands
            prefix = Layout(model).version_prefix(version)
            store.discard(prefix, commit=MANIFEST_NAME, first=SERVABLE_MARKERS[::-1])
    raise TransientError(
        f"Version {version} of {model} was taken from under its publisher {_ROUNDS} times.",
        hint="Publish again; keep more versions if a retention removes it each time.",
        subject=f"{model}/{version}",
    )


def _fallback(engine: Engine | None) -> int | None:
    return engine.fallback.version if engine is not None and engine.fallback is not None else None


class _Sent:
    """Counts what has arrived, from several threads."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self.bytes = 0
        self._total = total
        self._progress = progress
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self.bytes += count
            if self._progress is not None:
                self._progress(self.bytes, self._total)


def _as_validated(folder: Path, files: Sequence[FileEntry]) -> Sequence[FileEntry]:
    """The files, if names and sizes are as they were: each sha256 is proven when it is sent."""
    listed = {entry.path: entry.size for entry in files}
    found = folder_sizes(folder)
    for path in sorted({*listed, *found}):
        if listed.get(path) != found.get(path):
            raise TerminalError(
                f"{folder} is not what was validated: {path} {_difference(listed, found, path)}.",
                hint="Something changed the artifact since: make and validate it again.",
                subject=str(folder / path),
            )
    return files


def _difference(listed: Mapping[str, int], found: Mapping[str, int], path: str) -> str:
    if path not in found:
        return "is gone"
    if path not in listed:
        return "is new"
    return f"has {found[path]} bytes and had {listed[path]}"


def _servable(folder: Path, files: Sequence[FileEntry]) -> None:
    names = {entry.path for entry in files}
    if names.isdisjoint(SERVABLE_MARKERS):
        raise TerminalError(
            f"{folder} holds neither {' nor '.join(SERVABLE_MARKERS)}: no server could load it.",
            hint="Publish the folder that the export step made, not the one around it.",
            subject=str(folder),
        )
    for name in sorted(names):
        clean_path(name)  # or no follower could have it
    if MANIFEST_NAME in names:
        raise TerminalError(
            f"{folder} holds {MANIFEST_NAME}, which is the name of the manifest.",
            hint="Publish the artifact itself, not a copy of a published version.",
            subject=str(folder / MANIFEST_NAME),
        )


def _all_finite(metrics: Mapping[str, float]) -> None:
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise TerminalError(
                f"Metric {name} is {value}: a version is published with what was measured.",
                hint="Find out why the measurement failed, or leave the metric out.",
                subject=name,
            )


def _keep_golden(store: Store, model: str, version: int, golden: bytes | None) -> str | None:
    """Stores golden requests unless the version has some, and returns the digest of what is there.

    Two publishers of the same content may bring different ones: the first to come are as good as
    any, and no manifest must name others than are stored.
    """
    if golden is None:
        return None
    path = Layout(model).golden(version)
    try:
        store.put(path, golden, if_absent=True)
    except PreconditionFailed:
        kept = store.get(path)
        if kept is None:  # removed by a retention in this moment, together with its version
            raise
        return bytes_digest(kept.data)
    return bytes_digest(golden)


def _commit(store: Store, folder: Path, manifest: Manifest, sent: _Sent) -> bool | None:
    """Puts the version in place; says whether it was this call that did, None if nobody has.

    Nobody: it was removed again in between, or the store refused this call for another that has not
    come through.
    """
    layout = Layout(manifest.model)
    names = {entry.path for entry in manifest.files}
    try:
        store.place(
            folder,
            manifest.files,
            layout.version_prefix(manifest.version),
            last=[name for name in SERVABLE_MARKERS if name in names],
            commit=Commit(MANIFEST_NAME, manifest.to_bytes()),
            progress=sent.add,
        )
    except PreconditionFailed:
        winner = find_manifest(store, manifest.model, manifest.version)
        if winner is None:
            return None
        _same_content(store, winner, manifest.digest)
        # A commit whose answer was lost fails its own retry: what is there now decides.
        return winner.created_at == manifest.created_at
    return True


def _same_content(store: Store, existing: Manifest, digest: str) -> None:
    if existing.digest != digest:
        raise TerminalError(
            f"Version {existing.version} of {existing.model} at {store.uri} was allocated for "
            f"{digest[:12]} but holds {existing.digest[:12]}.",
            hint="Its ledger was restored or edited. Move the folder away, then publish again.",
            subject=Layout(existing.model).manifest(existing.version),
        )
