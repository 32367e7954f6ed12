"""The workspace in a bucket: what steps that run on different machines exchange.

- `artifacts/<hex>/`: a folder named by the sha256 over what is in it, with a list of its files,
  `_slipway.json`, which is written last
- `results/<hex>.json`: the StepResult for a key
- `jobs/<name>/`: what a Job was asked, and how it ended

Everything but `jobs/` is named by its content or by what it depends on, so two who write the same
at the same time do no harm, and what is there is never written again.
"""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from slipway.content import digest_of, folder_files, tree_digest
from slipway.contracts import Contract, StepResult
from slipway.errors import SlipwayError, TerminalError
from slipway.storage import open_store
from slipway.storage.base import Commit, PreconditionFailed
from slipway.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slipway.storage import Store

WORKSPACE_URI = "SLIPWAY_WORKSPACE_URI"
MARKER = "_slipway.json"
_DOWNLOADS = 8
_IN_WORKSPACE = re.compile(r"^(?P<root>/.*)/artifacts/(?P<digest>[0-9a-f]{64})(?P<rest>/.*)?$")

ContractT = TypeVar("ContractT", bound=Contract)


class WorkspaceBucket:
    """Artifacts and results in a store. Errors are those of the store, see `Store`.

    Args:
        store: Where they are.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def has(self, digest: str) -> bool:
        """Whether the artifact is there with all of its files; at most two requests."""
        marker = self.store.get(f"{_artifact(digest)}/{MARKER}")
        if marker is None:
            return False
        there = {info.path: info.size for info in self.store.list(_artifact(digest))}
        listed: dict[str, int] = json.loads(marker.data)["files"]
        return all(
            there.get(f"{_artifact(digest)}/{path}") == size for path, size in listed.items()
        )

    def push(self, folder: Path) -> str:
        """Bring a folder into the bucket, unless it is there; its digest.

        Raises:
            TerminalError: the folder is not there, or changed meanwhile.
        """
        files = folder_files(folder)
        digest = digest_of(files)
        if self.has(digest):
            return digest
        if self.store.get(f"{_artifact(digest)}/{MARKER}") is not None:
            # Somebody deleted files and left the marker, which `place` would respect.
            self.store.delete(f"{_artifact(digest)}/{MARKER}")
        listed = {"files": {entry.path: entry.size for entry in files}}
        commit = Commit(MARKER, json.dumps(listed, indent=1).encode())
        try:
            self.store.place(folder, files, _artifact(digest), commit=commit)
        except PreconditionFailed:
            if not self.has(digest):  # else somebody brought the same content a moment before
                raise
        return digest

    def pull(self, digest: str, folder: Path) -> None:
        """Bring an artifact's files into an empty folder.

        Raises:
            TerminalError: the bucket does not have it, or what it has is something else.
        """
        prefix = _artifact(digest)
        marker = self.store.get(f"{prefix}/{MARKER}")
        if marker is None:
            raise TerminalError(
                f"the artifact {digest[:12]} is not in the workspace bucket {self.store.uri}",
                hint="clear the step that made it",
                subject=digest,
            )
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            list(pool.map(lambda path: self._fetch(prefix, path, folder), _files(marker.data)))
        found = tree_digest(folder)
        if found != digest:
            raise TerminalError(
                f"the artifact {digest[:12]} in {self.store.uri} has the content {found[:12]}",
                hint=f"delete {prefix}/ from the bucket and clear the step that made it",
                subject=digest,
            )

    def result(self, key: str) -> StepResult | None:
        """The result for a key, if it is known and can be read; its paths are another machine's."""
        found = self.store.get(_result(key))
        try:
            return StepResult.model_validate_json(found.data) if found else None
        except ValidationError:
            return None

    def remember(self, result: StepResult) -> None:
        """Keep a result under its key, and its artifact."""
        if result.artifact is not None:
            self.push(result.artifact.path)
        self.store.put(_result(result.key), result.model_dump_json(indent=1).encode())

    def _fetch(self, prefix: str, path: str, folder: Path) -> None:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self.store.download(f"{prefix}/{path}", target)


class SharedWorkspace(Workspace):
    """A workspace on this machine that also knows what is in the bucket.

    Args:
        root: Where it is on this machine.
        bucket: What others know.
    """

    def __init__(self, root: Path, bucket: WorkspaceBucket) -> None:
        super().__init__(root)
        self.bucket = bucket

    def find(self, key: str) -> StepResult | None:
        """As `Workspace.find`, and then in the bucket; damage there means that it is not known."""
        known = super().find(key)
        found = None if known is not None else self.bucket.result(key)
        if found is None:
            return known
        try:
            return self.bring(found).model_copy(update={"reused": True})
        except TerminalError:
            return None

    def remember(self, result: StepResult) -> None:
        """As `Workspace.remember`, and in the bucket."""
        super().remember(result)
        self.bucket.remember(result)

    def bring(self, message: ContractT) -> ContractT:
        """The message with every artifact that it names in this workspace, and named as there.

        Raises:
            SlipwayError: as `WorkspaceBucket.pull`.
        """
        for digest in artifacts_in(message):
            if not self._is_here(digest):
                with self.staging() as folder:
                    self.bucket.pull(digest, folder)
                    self.keep(folder, "report")  # the kind is the message's to say
        return relocated(message, self.root)

    def share(self, message: Contract) -> None:
        """Bring every artifact that a message names into the bucket, as far as it is missing.

        Raises:
            SlipwayError: one is in neither place, or the bucket cannot be written.
        """
        for digest in artifacts_in(message):
            folder = self.root / "artifacts" / digest
            if folder.is_dir():
                pushed = self.bucket.push(folder)
                if pushed == digest:
                    continue
                raise _damaged(folder)
            if not self.bucket.has(digest):
                raise TerminalError(
                    f"the artifact {digest[:12]} is neither in {folder} nor in the bucket",
                    hint="clear the step that made it; the workspace was emptied since",
                    subject=str(folder),
                )

    def _is_here(self, digest: str) -> bool:
        folder = self.root / "artifacts" / digest
        try:
            return folder.is_dir() and tree_digest(folder) == digest
        except SlipwayError:
            return False


def open_workspace(root: Path) -> Workspace:
    """The workspace at a root, shared by the bucket that $SLIPWAY_WORKSPACE_URI names, if any.

    Raises:
        TerminalError: if the bucket's address is none.
    """
    uri = os.environ.get(WORKSPACE_URI)
    return SharedWorkspace(root, WorkspaceBucket(open_store(uri))) if uri else Workspace(root)


def artifacts_in(message: Contract) -> list[str]:
    """The digests of all artifacts of a workspace whose paths a message names, sorted."""
    found = {
        match["digest"]
        for text in _texts(message.model_dump(mode="json"))
        if (match := _IN_WORKSPACE.match(text))
    }
    return sorted(found)


def relocated(message: ContractT, root: Path) -> ContractT:
    """The message as it reads where the workspace is at `root`."""

    def moved(text: str) -> str:
        match = _IN_WORKSPACE.match(text)
        return f"{root}/artifacts/{match['digest']}{match['rest'] or ''}" if match else text

    return type(message).model_validate(_mapped(message.model_dump(mode="json"), moved))


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(one, change) for one in value]
    if isinstance(value, dict):
        return {name: _mapped(one, change) for name, one in value.items()}
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _files(marker: bytes) -> list[str]:
    listed: dict[str, int] = json.loads(marker)["files"]
    return list(listed)


def _artifact(digest: str) -> str:
    return f"artifacts/{digest}"


def _result(key: str) -> str:
    return f"results/{key.removeprefix('sha256:')}.json"


def _damaged(folder: Path) -> TerminalError:
    return TerminalError(
        f"the artifact {folder} is not what it was when it was made",
        hint="clear the step that made it; something changed its files",
        subject=str(folder),
    )
