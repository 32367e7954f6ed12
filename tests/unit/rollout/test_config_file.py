from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError
from slipway.rollout.config_file import ModelConfigFile, Serving
from slipway.serving.server.config import parse_model_config

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.serving.server.config import ModelConfig

BOTH = Serving(frozenset({3, 4}), {"stable": 3, "canary": 4})


@pytest.fixture
def file(tmp_path: Path) -> ModelConfigFile:
    path = tmp_path / "models.config"
    path.write_text("model_config_list {}\n")
    return ModelConfigFile(path)


def parsed(file: ModelConfigFile) -> dict[str, ModelConfig]:
    found = parse_model_config(file.path.read_text(), str(file.path))
    return {model.name: model for model in found}


def test_the_server_reads_what_was_written(file: ModelConfigFile) -> None:
    file.write("digits", "s3://bucket/digits", BOTH)
    model = parsed(file)["digits"]
    assert model.base_path == "s3://bucket/digits"
    assert model.platform == "tensorflow"
    assert model.policy.kind == "specific"
    assert model.policy.versions == {3, 4}
    assert model.labels == {"stable": 3, "canary": 4}
    assert file.read("digits") == BOTH


def test_other_models_stay_as_they_are(file: ModelConfigFile) -> None:
    file.path.write_text(
        'model_config_list { config { name: "other" base_path: "/o" model_platform: "tensorflow"'
        ' model_version_policy { all {} } version_labels { key: "x" value: 9 } } }'
    )
    other = parsed(file)["other"]
    file.write("digits", "/d", BOTH)
    file.write("digits", "/d", Serving())
    assert parsed(file) == {"other": other}


def test_a_model_of_which_nothing_is_served_has_no_entry(file: ModelConfigFile) -> None:
    file.write("digits", "/d", BOTH)
    file.write("digits", "/d", Serving())
    assert parsed(file) == {}
    assert "model_config_list" in file.path.read_text()  # without it a server takes no action
    assert file.read("digits") == Serving()


def test_two_models_may_be_written_at_once(file: ModelConfigFile) -> None:
    def write(model: str) -> None:
        for version in range(1, 31):
            with file.locked():
                file.write(model, f"/{model}", Serving(frozenset({version})))

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: model.policy.versions for name, model in parsed(file).items()} == {
        "a": {30},
        "b": {30},
        "c": {30},
    }


@pytest.mark.parametrize("content", [None, "model_config_list {"])
def test_an_unusable_file_is_named(file: ModelConfigFile, content: str | None) -> None:
    file.path.unlink() if content is None else file.path.write_text(content)
    with pytest.raises(TerminalError) as caught:
        file.read("digits")
    assert caught.value.subject == str(file.path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = ModelConfigFile(tmp_path / "missing" / "models.config")
    with pytest.raises(TerminalError, match="cannot be written"), file.locked():
        pytest.fail("locked what is not there")
