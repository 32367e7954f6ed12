"""The workspace: artifacts named by their content, results named by what they depend on.

- `<root>/artifacts/<hex>/`: a folder named by the sha256 over what is in it
- `<root>/results/<hex>.json`: the StepResult for a key
- `<root>/latest/<model>.<step>.json`: the last StepResult of a step that always runs
- `<root>/staging/`: folders that are being made
- `<root>/locks/`: one file a key, so that a step runs once at a time
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from slipway.content import tree_digest
from slipway.contracts import ArtifactRef, StepResult

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["keras", "saved_model", "tflite", "onnx", "report"]


def default_workspace() -> Path:
    """$SLIPWAY_WORKSPACE, or .slipway/workspace below the current folder."""
    return Path(os.environ.get("SLIPWAY_WORKSPACE") or ".slipway/workspace").resolve()


class Workspace:
    """Where steps leave what they make. Many processes may use one workspace at once."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        for name in ("artifacts", "results", "latest", "staging", "locks"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def find(self, key: str) -> StepResult | None:
        """The result for a key, if it is known and its artifact is still there, as large as it was.

        A result that a power cut or a full disk left unreadable is not known.
        """
        result = _read(self._result_file(key))
        if result is None:
            return None
        artifact = result.artifact
        if artifact is not None and _size_of(artifact) != artifact.size_bytes:
            return None
        return result.model_copy(update={"reused": True})

    def remember(self, result: StepResult) -> None:
        """Keep a result under its key."""
        result.write(self._result_file(result.key))

    def note_latest(self, result: StepResult) -> None:
        """Keep the result of a step that always runs, in place of its last one."""
        result.write(self._latest_file(result.model, result.step))

    def latest(self, model: str, step: str) -> StepResult | None:
        """The last result of a step that always runs."""
        return _read(self._latest_file(model, step))

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold the key: others that want it wait. The kernel lets go when the process dies."""
        with (self.root / "locks" / _hex(key)).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty folder to work in, removed at the end unless it was kept."""
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=self.root / "staging"))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, folder: Path, kind: Kind) -> ArtifactRef:
        """Move a finished folder into place under the digest of its content."""
        digest = tree_digest(folder)
        target = self.root / "artifacts" / _hex(digest)
        if target.is_dir() and tree_digest(target) != digest:
            # Something changed it since; who works with it now has what it asked for no more.
            shutil.rmtree(target)
        if not target.is_dir():
            try:
                folder.rename(target)
            except OSError:
                # Another process kept the same content a moment before.
                if not target.is_dir():
                    raise
        reference = ArtifactRef(kind=kind, digest=digest, uri=str(target), size_bytes=0)
        return reference.model_copy(update={"size_bytes": _size_of(reference)})

    def remove_leftovers(self) -> None:
        """Remove staging folders of processes that were killed."""
        for folder in (self.root / "staging").iterdir():
            owner = folder.name.split("-", 1)[0]
            if owner.isdigit() and not Path(f"/proc/{owner}").exists():
                shutil.rmtree(folder, ignore_errors=True)

    def _latest_file(self, model: str, step: str) -> Path:
        return self.root / "latest" / f"{model}.{step}.json"

    def _result_file(self, key: str) -> Path:
        return self.root / "results" / f"{_hex(key)}.json"


def _read(file: Path) -> StepResult | None:
    try:
        return StepResult.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _size_of(artifact: ArtifactRef) -> int:
    """Bytes of the part that a server loads, or of a whole report; 0 if it is gone."""
    part = artifact.servable if artifact.kind != "report" else artifact.path
    return sum(path.stat().st_size for path in part.rglob("*") if path.is_file())


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
