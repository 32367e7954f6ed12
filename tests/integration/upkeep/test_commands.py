"""An operator's day with nothing but the address of a model: no spec, no checkout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.storage import Store, StoreCredentials, open_store
from support.hand_made import MODEL, copy_by_hand, publish_some
from support.specs import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

IMPORTED = PROJECT / "include" / "models" / "breast_cancer" / "saved_model"


@pytest.fixture(params=["local", "s3", "gcs"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of which the environment knows the credentials; the working folder is empty."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr("slipway.console.console._width", 200)
    if request.param == "local":
        return open_store((tmp_path / "published").as_uri())
    credentials: StoreCredentials = request.getfixturevalue(f"{request.param}_server").credentials
    for name, value in credentials.to_environment().items():
        monkeypatch.setenv(name, value)
    return open_store(request.getfixturevalue(f"{request.param}_uri"))


def ask(store: Store, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [command, f"{store.uri}/{MODEL}", *arguments])


def test_every_command_takes_an_address(store: Store, tmp_path: Path):
    assert "nothing is published at" in ask(store, "versions").stdout
    publish_some(store, tmp_path, 7)
    rows = json.loads(ask(store, "versions", "--json").stdout)
    assert [row["version"] for row in rows] == [7, 6, 5, 4, 3, 2, 1]
    assert "2 would go" in ask(store, "gc", "--dry-run").stdout
    assert "these stay: 7, 6, 5, 4, 3" in ask(store, "gc").stdout
    assert ask(store, "fsck", "--deep").exit_code == 0

    copy_by_hand(store, IMPORTED, "9")
    found = ask(store, "fsck")
    assert (found.exit_code, "foreign_version" in found.stdout) == (1, True)
    assert "is adopted" in ask(store, "adopt", "--version", "9").stdout
    assert ask(store, "fsck", "--repair").exit_code == 0

    followed = ask(store, "serve-config", "--sync", "--channels", "--prefer-tflite", "--json")
    planned = json.loads(followed.stdout)
    assert "--prefer_tflite_model=true" in planned["flags"]
    assert planned["way"] == ("direct" if store.uri.startswith("file") else "sync")
    served = tmp_path / "served"
    assert ask(store, "sync", str(served), "--once").exit_code == 0
    assert sorted(folder.name for folder in served.glob("[0-9]*")) == ["7", "9"]


def test_an_address_without_a_model_is_refused(store: Store):
    base = store.uri.partition("://")[0]
    done = CliRunner().invoke(app, ["gc", f"{base}://bucket"])
    assert done.exit_code == 1
    assert "names no model" in done.stderr
