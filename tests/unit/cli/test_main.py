from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from typer.main import get_group
from typer.testing import CliRunner

from slipway.cli.main import COMMANDS, app
from support.specs import PROJECT, write_spec

if TYPE_CHECKING:
    from pathlib import Path

runner = CliRunner()


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)


def test_every_command_of_every_module_is_known_by_its_name() -> None:
    found = {}
    for place in set(COMMANDS.values()):
        module, _, application = place.partition(":")
        commands = get_group(getattr(import_module(f"slipway.cli.{module}"), application)).commands
        found.update(dict.fromkeys(commands, place))
    assert found == COMMANDS


def test_a_misspelt_command_shows_which_was_meant() -> None:
    done = runner.invoke(app, ["synk"])
    assert done.exit_code == 2
    assert "Did you mean 'sync'" in done.stderr


def test_sync_starts_without_what_other_commands_need() -> None:
    heavy = {"http.server", "httpx", "rich.console", "slipway.spec.loader", "yaml"}
    code = (
        "import sys, slipway.cli.main as main\n"
        "main.get_group(main.app).get_command(None, 'sync')\n"
        "import slipway.serving.sync.command, slipway.storage.s3\n"
        f"print(*{heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_validate_without_names_checks_every_spec() -> None:
    done = runner.invoke(app, ["validate"])
    assert done.exit_code == 0
    assert "valid digits" in done.stdout


def test_validate_names_file_line_and_field(tmp_path: Path) -> None:
    file = write_spec(tmp_path, extra="sed: 1\n")
    done = runner.invoke(app, ["validate", str(file)])
    assert done.exit_code == 1
    assert "tiny.yaml:12: sed: unknown field; did you mean 'seed'?" in done.stderr


def test_validate_gives_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_DEFINITIONS", str(PROJECT / "include/models"))
    files = [write_spec(tmp_path), write_spec(tmp_path, "other", "sed: 1\n")]
    done = runner.invoke(app, ["validate", "--json", *map(str, files)])
    found = json.loads(done.stdout)
    assert found["tiny"] == []
    assert len(found["other"]) == 1


def test_validate_names_a_definition_that_is_not_there(tmp_path: Path) -> None:
    done = runner.invoke(app, ["validate", str(write_spec(tmp_path))])
    assert done.exit_code == 1
    assert "there is no model definition digits.py" in done.stderr


def test_validate_finds_without_running_anything_what_a_build_would_stumble_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_DEFINITIONS", str(PROJECT / "include/models"))
    file = write_spec(tmp_path, extra="saved_model: ./nowhere\n")
    file.write_text(file.read_text().replace("accuracy", "acuracy"))
    done = runner.invoke(app, ["validate", str(file)])
    assert done.exit_code == 1
    assert "tiny.yaml:12: saved_model: " in done.stderr
    assert "gates.metrics.acuracy: there is no metric 'acuracy'; did you mean 'acc" in done.stderr


def test_validate_shows_what_was_found_as_it_is(tmp_path: Path) -> None:
    done = runner.invoke(app, ["validate", str(write_spec(tmp_path, extra='seed: "[/red]"\n'))])
    assert done.exit_code == 1
    assert "[/red]" in done.stderr


def test_validate_where_there_is_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(app, ["validate"])
    assert done.exit_code == 1
    assert "there is no spec in dags/models" in done.stderr


def test_a_model_that_is_not_there_shows_which_are() -> None:
    done = runner.invoke(app, ["plan", "digts"])
    assert done.exit_code == 1
    assert "digits" in done.stderr


def test_plan_shows_both_graphs() -> None:
    done = runner.invoke(app, ["plan", "digits", "--json"])
    graphs = json.loads(done.stdout)
    assert graphs["rollout"][0]["task_id"] == "preflight"
    assert "publish" in [step["task_id"] for step in graphs["build"]]
    assert "original.train_export" in runner.invoke(app, ["plan", "digits"]).stdout


def test_schema_is_the_committed_one() -> None:
    done = runner.invoke(app, ["schema"])
    assert done.stdout == (PROJECT / "include/schemas/model.schema.json").read_text()


def test_a_model_that_was_never_built_has_no_report(tmp_path: Path) -> None:
    done = runner.invoke(app, ["report", "digits", "--workspace", str(tmp_path)])
    assert done.exit_code == 1
    assert "slipway run digits" in done.stderr


def test_an_error_in_json_keeps_standard_output_readable(tmp_path: Path) -> None:
    done = runner.invoke(app, ["report", "digits", "--json", "--workspace", str(tmp_path)])
    assert json.loads(done.stdout)["error"]["kind"] == "terminal"
