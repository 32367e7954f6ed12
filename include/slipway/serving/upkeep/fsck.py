"""The check of a published model: versions, ledger, channels and golden requests against another.

The look changes nothing, and can be taken while others publish and remove.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from slipway.content import bytes_digest, digest_of, file_digest
from slipway.errors import TerminalError
from slipway.serving.layout import Layout
from slipway.serving.upkeep.findings import Finding, finding
from slipway.serving.upkeep.survey import inside, survey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.serving.layout import Manifest
    from slipway.serving.upkeep.survey import Folder, Survey
    from slipway.storage import Store

Progress = Callable[[int, int], None]

_PARALLEL_READS = 4


class FsckReport(BaseModel):
    """What a check found.

    Attributes:
        model: The model's name.
        deep: Whether the bytes were read.
        versions: How many versions with a manifest there are.
        read_bytes: How many bytes were read.
        findings: All of it, the worst first.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    deep: bool
    versions: int
    read_bytes: int = 0
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What somebody still has to do something about."""
        return tuple(one for one in self.findings if one.is_problem)


def check(
    store: Store, model: str, *, deep: bool = False, progress: Progress | None = None
) -> FsckReport:
    """Looks for everything that is wrong with a published model.

    Args:
        store: Open at the base URI.
        model: The model's name.
        deep: Read every file of every version, and compare sha256 with the manifest.
        progress: With `deep`, called with the bytes read so far and in all.

    Raises:
        TerminalError: The store refuses, or holds nothing of the model: its name or the address is
            mistyped, which is no proof that all is well.
        TransientError: The store does not answer.
    """
    found = survey(store, model)
    if found.is_empty:
        raise TerminalError(
            f"there is nothing of {model} at {store.uri}",
            hint="correct the model's name or the address, or publish it first",
            subject=f"{store.uri}/{model}",
        )
    findings = list(_shallow(store, found))
    manifests = [folder.manifest for folder in found.folders.values() if folder.manifest]
    read_bytes = 0
    if deep:
        corrupted, read_bytes = _read(store, found, progress)
        findings += corrupted
    order = ("error", "warning", "note")
    findings.sort(key=lambda one: (order.index(one.severity), one.version or 0, one.path))
    return FsckReport(
        model=model,
        deep=deep,
        versions=len(manifests),
        read_bytes=read_bytes,
        findings=tuple(findings),
    )


def _shallow(store: Store, found: Survey) -> Iterator[Finding]:
    layout = Layout(found.model)
    for path, damage in found.damages.items():
        kind = "damaged_ledger" if path == layout.ledger else "damaged_channel"
        yield finding(kind, path, damage.message)
    for version in sorted(found.folders):
        yield from _folder(found, layout, found.folders[version])
    yield from _ledger(store, found, layout)
    yield from _channels(store, found, layout)
    yield from _golden(store, found, layout)
    for info in found.staging:
        yield finding("staging", info.path, f"{info.size} bytes")
    seen: set[str] = set()
    for info in found.foreign:
        first, _, rest = info.path.removeprefix(f"{found.model}/").partition("/")
        if rest and first.isdecimal():
            if first not in seen:
                seen.add(first)
                yield finding("foreign_number", f"{found.model}/{first}", f"holds {rest}")
            continue
        yield finding("foreign_object", info.path, f"{info.size} bytes")


def _folder(found: Survey, layout: Layout, folder: Folder) -> Iterator[Finding]:
    version, path = folder.version, layout.version_prefix(folder.version)
    entry = found.ledger.versions.get(version) if found.ledger else None
    files = f"{len(folder.objects)} files, {folder.size_bytes} bytes"
    if entry is not None and entry.state == "removed":
        yield finding("removed_remains", path, files, version)
    elif folder.damage is not None:
        yield finding("damaged_manifest", layout.manifest(version), folder.damage.message, version)
    elif folder.manifest is not None:
        yield from _against_manifest(layout, folder, folder.manifest)
    elif entry is not None and entry.state == "allocated":
        yield finding("uncommitted_folder", path, files, version)
    elif entry is None and found.ledger is not None:
        yield finding("foreign_version", path, files, version)


def _against_manifest(layout: Layout, folder: Folder, manifest: Manifest) -> Iterator[Finding]:
    there = inside(folder, layout)
    prefix = layout.version_prefix(folder.version)
    held = digest_of(manifest.files)
    if held != manifest.digest:
        what = f"it lists files of {held[:12]} and says {manifest.digest[:12]}"
        yield finding("damaged_manifest", layout.manifest(folder.version), what, folder.version)
    for entry in manifest.files:
        info = there.pop(entry.path, None)
        if info is None or info.size != entry.size:
            state = "missing" if info is None else f"{info.size} bytes, not {entry.size}"
            yield finding("torn_version", f"{prefix}/{entry.path}", state, folder.version)
    for path, info in there.items():
        yield finding("unexpected_file", f"{prefix}/{path}", f"{info.size} bytes", folder.version)


def _ledger(store: Store, found: Survey, layout: Layout) -> Iterator[Finding]:
    if found.ledger is None:
        return
    for version, entry in sorted(found.ledger.versions.items()):
        folder = found.folders.get(version)
        committed = folder is not None and folder.is_committed
        # The listing is older than the ledger: the version may have been published in between.
        if entry.state == "published" and not committed and not _exists(store, layout, version):
            left = "no file" if folder is None else f"{len(folder.objects)} files"
            yield finding("lost_version", layout.version_prefix(version), f"{left} there", version)
    for version, folder in sorted(found.folders.items()):
        if folder.manifest is not None:
            yield from _bound(found, layout, version, folder.manifest)
    taken = max([0, *found.folders, *found.ledger.versions])
    if found.ledger.next_version <= taken:
        next_one = found.ledger.next_version
        yield finding("number_taken", layout.ledger, f"next is {next_one}, {taken} is taken", taken)


def _bound(found: Survey, layout: Layout, version: int, manifest: Manifest) -> Iterator[Finding]:
    entry = found.ledger.versions.get(version) if found.ledger else None
    path = layout.manifest(version)
    if entry is None:
        yield finding("unbound_version", path, manifest.digest, version)
    elif entry.digest != manifest.digest:
        what = f"ledger {entry.digest[:12]}, manifest {manifest.digest[:12]}"
        yield finding("ledger_disagrees", path, what, version)
    elif entry.state == "allocated":
        yield finding("unmarked_version", path, "the ledger says allocated", version)


def _exists(store: Store, layout: Layout, version: int) -> bool:
    return store.get(layout.manifest(version)) is not None


def _channels(store: Store, found: Survey, layout: Layout) -> Iterator[Finding]:
    for name, channel in found.channels.items():
        version = channel.version
        if version is None:
            continue
        folder = found.folders.get(version)
        manifest = folder.manifest if folder else None
        if manifest is None and folder is None and _exists(store, layout, version):
            continue  # published and rolled out since the listing
        if manifest is None:
            what = f"{name} is version {version}"
            yield finding("channel_without_version", layout.channel(name), what, version)
        elif manifest.digest != channel.digest:
            what = f"channel {(channel.digest or '')[:12]}, manifest {manifest.digest[:12]}"
            yield finding("channel_disagrees", layout.channel(name), what, version)


def _golden(store: Store, found: Survey, layout: Layout) -> Iterator[Finding]:
    for version, folder in sorted(found.folders.items()):
        wanted = folder.manifest.golden_digest if folder.manifest else None
        if wanted is None:
            continue
        path = layout.golden(version)
        kept = store.get(path)
        if kept is None or bytes_digest(kept.data) != wanted:
            state = "missing" if kept is None else "other content"
            yield finding("missing_golden", path, state, version)
    entries = found.ledger.versions if found.ledger else {}
    for version, info in sorted(found.golden.items()):
        entry = entries.get(version)
        if version not in found.folders and entry is not None and entry.state == "removed":
            yield finding("orphaned_golden", info.path, f"{info.size} bytes", version)


def _read(store: Store, found: Survey, progress: Progress | None) -> tuple[list[Finding], int]:
    """Reads what is there, and finds the files whose bytes are not those of the manifest."""
    layout = Layout(found.model)
    wanted = []
    for folder in found.folders.values():
        there = inside(folder, layout)
        for entry in folder.manifest.files if folder.manifest else ():
            info = there.get(entry.path)
            if info is not None and info.size == entry.size:
                wanted.append((folder.version, info.path, entry))
    total, done, corrupted = sum(entry.size for _, _, entry in wanted), 0, []
    with (
        tempfile.TemporaryDirectory(prefix="slipway-fsck-") as scratch,
        ThreadPoolExecutor(_PARALLEL_READS) as pool,
    ):
        places = [Path(scratch, str(number)) for number in range(len(wanted))]
        digests = pool.map(
            lambda path, to: _digest(store, path, to), (p for _, p, _ in wanted), places
        )
        for (version, path, entry), digest in zip(wanted, digests, strict=True):
            if digest != entry.sha256:
                what = "gone since" if digest is None else f"sha256 {digest[:12]}"
                corrupted.append(finding("corrupted_file", path, what, version))
            done += entry.size
            if progress is not None:
                progress(done, total)
    return corrupted, done


def _digest(store: Store, path: str, scratch: Path) -> str | None:
    try:
        store.download(path, scratch)
    except TerminalError:
        if store.get(path) is not None:
            raise
        return None
    try:
        return file_digest(scratch)
    finally:
        scratch.unlink()
