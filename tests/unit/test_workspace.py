from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from slipway.content import bytes_digest
from slipway.contracts import StepResult
from slipway.errors import TerminalError
from slipway.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sha256:" + "a" * 64


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def make(workspace: Workspace, content: str = "weights") -> StepResult:
    with workspace.staging() as folder:
        (folder / "saved_model").mkdir()
        (folder / "saved_model" / "saved_model.pb").write_text(content)
        artifact = workspace.keep(folder, "saved_model")
    result = StepResult(step="train", model="tiny", key=KEY, artifact=artifact)
    workspace.remember(result)
    return result


def test_an_unknown_key_is_not_found(workspace: Workspace) -> None:
    assert workspace.find(KEY) is None


def test_a_known_key_gives_the_result_as_reused(workspace: Workspace) -> None:
    result = make(workspace)
    found = workspace.find(KEY)
    assert found is not None
    assert found.reused
    assert found.artifact == result.artifact


def test_the_same_content_is_kept_once_and_sized_by_what_is_served(workspace: Workspace) -> None:
    first, second = make(workspace), make(workspace)
    assert first.artifact == second.artifact
    assert first.artifact is not None
    assert first.artifact.size_bytes == len("weights")
    assert len(list((workspace.root / "artifacts").iterdir())) == 1


def test_a_result_whose_artifact_is_gone_is_not_found(workspace: Workspace) -> None:
    result = make(workspace)
    assert result.artifact is not None
    (result.artifact.servable / "saved_model.pb").unlink()
    result.artifact.servable.rmdir()
    result.artifact.path.rmdir()
    assert workspace.find(KEY) is None


def test_a_result_whose_artifact_has_another_size_is_made_again(workspace: Workspace) -> None:
    spoiled = make(workspace).artifact
    assert spoiled is not None
    with (spoiled.servable / "saved_model.pb").open("a") as stream:
        stream.write("x")
    assert workspace.find(KEY) is None
    assert make(workspace).artifact == spoiled
    assert (spoiled.servable / "saved_model.pb").read_text() == "weights"
    assert workspace.find(KEY) is not None


@pytest.mark.parametrize("left", ["", '{"step": "tr'])
def test_a_result_that_cannot_be_read_is_not_known(workspace: Workspace, left: str) -> None:
    make(workspace)
    [file] = (workspace.root / "results").iterdir()
    file.write_text(left)
    assert workspace.find(KEY) is None


def test_nothing_is_left_of_a_step_that_raised(workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="broken"), workspace.staging():
        raise ValueError("broken")
    assert not list((workspace.root / "staging").iterdir())


def test_leftovers_of_killed_processes_are_removed_and_those_of_living_ones_stay(
    workspace: Workspace,
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = workspace.root / "staging" / f"{gone.pid}-x"
    alive = workspace.root / "staging" / f"{os.getpid()}-x"
    dead.mkdir()
    alive.mkdir()
    workspace.remove_leftovers()
    assert not dead.exists()
    assert alive.exists()


def test_a_key_is_held_by_one_at_a_time(workspace: Workspace) -> None:
    order: list[str] = []

    def second() -> None:
        with workspace.lock(KEY):
            order.append("second")

    with workspace.lock(KEY):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_killed_holder_lets_go_of_its_key(workspace: Workspace) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from slipway.workspace import Workspace\n"
        f"with Workspace(Path({str(workspace.root)!r})).lock({KEY!r}):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    with workspace.lock(KEY):
        pass


def test_the_files_of_an_artifact_are_known_without_reading_them(workspace: Workspace) -> None:
    artifact = make(workspace).artifact
    assert artifact is not None
    (artifact.path / "saved_model" / "saved_model.pb").write_text("WEIGHTS")
    [entry] = workspace.files_of(artifact)
    assert (entry.path, entry.size) == ("saved_model/saved_model.pb", 7)
    assert entry.sha256 == bytes_digest(b"weights")


def test_without_their_listing_the_files_are_read(workspace: Workspace) -> None:
    artifact = make(workspace).artifact
    assert artifact is not None
    known = list(workspace.files_of(artifact))
    for left in ("", '{"files": []}'):
        (workspace.root / "listings" / f"{artifact.digest}.json").write_text(left)
        assert list(workspace.files_of(artifact)) == known


def test_an_artifact_that_was_changed_and_has_no_listing_is_refused(workspace: Workspace) -> None:
    artifact = make(workspace).artifact
    assert artifact is not None
    (workspace.root / "listings" / f"{artifact.digest}.json").unlink()
    (artifact.path / "saved_model" / "saved_model.pb").write_text("WEIGHTS")
    with pytest.raises(TerminalError, match="was validated"):
        workspace.files_of(artifact)
