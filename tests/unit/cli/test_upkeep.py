"""The commands for what is published, on a folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.storage import open_store
from support.hand_made import copy_by_hand, publish_some
from support.specs import PROJECT, write_spec

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from slipway.storage import Store

IMPORTED = PROJECT / "include" / "models" / "breast_cancer" / "saved_model"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "published").as_uri())


@pytest.fixture
def spec(tmp_path: Path, store: Store) -> str:
    file = write_spec(tmp_path, "digits")
    file.write_text(file.read_text().replace("s3://models", store.uri))
    publish_some(store, tmp_path, 3)
    return str(file)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.console.console._width", 200)


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_versions_show_everything(spec: str):
    done = ask("versions", spec)
    assert "accuracy" in done.stdout
    rows = json.loads(ask("versions", spec, "--json").stdout)
    assert [row["version"] for row in rows] == [3, 2, 1]
    assert rows[0]["metrics"] == {"accuracy": 0.9}


def test_gc_says_what_would_go_and_then_removes_it(spec: str, store: Store):
    before = store.list("")
    dry = json.loads(ask("gc", spec, "--keep", "1", "--dry-run", "--json").stdout)
    assert [one["version"] for one in dry["removed"]] == [2, 1]
    assert store.list("") == before
    done = ask("gc", spec, "--keep", "1")
    assert done.exit_code == 0
    assert "digits/1: version" in done.stdout
    assert "these stay: 3" in done.stdout


def test_an_age_that_is_none_is_refused(spec: str):
    done = ask("gc", spec, "--leftovers-older-than", "soon")
    assert done.exit_code == 1
    assert "90m, 24h, 7d" in done.stderr


def test_fsck_says_by_its_exit_status_whether_problems_remain(spec: str, store: Store):
    assert ask("fsck", spec, "--deep").exit_code == 0
    store.delete("digits/_slipway/ledger.json")
    found = ask("fsck", spec)
    assert found.exit_code == 1
    assert "unbound_version" in found.stdout
    assert ask("fsck", spec, "--repair").exit_code == 0
    assert json.loads(ask("fsck", spec, "--json").stdout)["problems"] == 0


def test_adopt_asks_for_the_version_and_takes_it_in(spec: str, store: Store):
    copy_by_hand(store, IMPORTED, "9")
    assert ask("fsck", spec).exit_code == 1
    assert ask("adopt", spec).exit_code == 2
    assert "could be adopted" in ask("adopt", spec, "--version", "9", "--dry-run").stdout
    assert ask("fsck", spec).exit_code == 1
    assert "is adopted" in ask("adopt", spec, "--version", "9").stdout
    assert ask("fsck", spec).exit_code == 0
    said = json.loads(ask("adopt", spec, "--version", "9", "--json").stdout)
    assert said["already"]
