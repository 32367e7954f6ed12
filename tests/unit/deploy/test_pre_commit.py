"""pre-commit runs what `make lint` runs: both are run, against programs that note their calls."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.specs import PROJECT

CONFIG = PROJECT / ".pre-commit-config.yaml"
PROGRAMS = ("ruff", "mypy", "lint-imports", "python")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The real Makefile and hooks, with programs that only note how they were called."""
    for name in ("Makefile", ".pre-commit-config.yaml"):
        shutil.copy(PROJECT / name, tmp_path)
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in PROGRAMS:
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "$0 $*" >>"{tmp_path}/calls"\n')
        program.chmod(0o755)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid"]
    for command in (["init", "--quiet"], ["add", "Makefile", ".pre-commit-config.yaml"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    return tmp_path


def calls(checkout: Path, *command: str) -> list[str]:
    """What a command called, as lines relative to the checkout."""
    noted = checkout / "calls"
    noted.unlink(missing_ok=True)
    environment = {**os.environ, "PRE_COMMIT_HOME": str(checkout / "cache")}
    environment = {k: v for k, v in environment.items() if not k.startswith(("GIT_", "MAKE"))}
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return noted.read_text().replace(f"{checkout}/", "").splitlines()


def test_the_hooks_run_the_commands_of_make_lint(checkout: Path) -> None:
    pre_commit = str(Path(sys.executable).with_name("pre-commit"))
    hooks = calls(checkout, pre_commit, "run", "--all-files")
    assert hooks == calls(checkout, "make", "--assume-old=install", "lint")
    assert len(hooks) == 5


def test_nothing_is_downloaded() -> None:
    repos = yaml.safe_load(CONFIG.read_text("utf-8"))["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    assert {hook["language"] for repo in repos for hook in repo["hooks"]} == {"system"}


def test_every_program_is_installed_by_make_install() -> None:
    for hook in yaml.safe_load(CONFIG.read_text("utf-8"))["repos"][0]["hooks"]:
        words = hook["entry"].split()
        program = next(Path(word) for word in words if "=" not in word and word != "env")
        assert program.parent == Path(".venv/bin")
        assert Path(sys.executable).with_name(program.name).exists()
