"""The config file while the server runs: models, policies and labels that change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError
from slipway.local.processes import free_port
from slipway.serving.server import Server
from support.served import FAST, Traffic, place, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.serving.server import ServerFlags


class Config:
    """A config file with one model or more; replaced whole, as an operator would."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def flags(self) -> ServerFlags:
        return replace(
            FAST, model_config_file=str(self.file), model_config_file_poll_wait_seconds=1
        )

    def write(self, *models: str) -> None:
        text = "".join(f"config {{ {model} }}" for model in models)
        partial = self.file.with_suffix(".partial")
        partial.write_text(f"model_config_list {{ {text} }}")
        partial.rename(self.file)


def model(base: Path, name: str = "m", versions: str = "all {}", **labels: int) -> str:
    lines = [
        f'name: "{name}" base_path: "{base}" model_platform: "tensorflow"',
        f"model_version_policy {{ {versions} }}",
        *(f'version_labels {{ key: "{key}" value: {value} }}' for key, value in labels.items()),
    ]
    return " ".join(lines)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path / "models.config")


@pytest.fixture
def two(models: Path, base: Path) -> Path:
    place(models / "times1", base / "1")
    place(models / "times2", base / "2")
    return base


def test_a_label_moves_without_a_failed_request(config: Config, two: Path) -> None:
    config.write(model(two))
    with serving(config.flags) as client:
        client.wait(1)
        client.wait(2)
        config.write(model(two, stable=1, canary=2))
        until(lambda: client.factor("m/labels/stable") == 1.0)
        assert client.factor("m/labels/canary") == 2.0
        with Traffic(str(client.http.base_url), "m/labels/stable") as traffic:
            until(lambda: len(traffic.answers) > 20)
            config.write(model(two, stable=2))
            until(lambda: traffic.answers[-1][1] == {"predictions": [[2.0, 2.0]]})
        assert traffic.failures == []
        assert client.predict("m/labels/canary", {"instances": [[1, 1]]}).status_code == 400
        status = client.http.get("/v1/models/m/labels/stable").json()
        assert [v["version"] for v in status["model_version_status"]] == ["2"]


def test_a_label_waits_until_its_version_is_available(
    config: Config, two: Path, models: Path
) -> None:
    config.write(model(two))
    with serving(config.flags) as client:
        client.wait(2)
        client.wait(1)
        config.write(model(two, stable=1))
        until(lambda: client.factor("m/labels/stable") == 1.0)
        config.write(model(two, stable=3, other=2))
        place(models / "times3", two / "partial-3")
        assert client.factor("m/labels/stable") == 1.0
        assert client.factor("m/labels/other") is None
        (two / "partial-3").rename(two / "3")
        until(lambda: client.factor("m/labels/stable") == 3.0)
        assert client.factor("m/labels/other") == 2.0


def test_at_startup_a_label_needs_the_flag(config: Config, two: Path) -> None:
    config.write(model(two, stable=1))
    with pytest.raises(TerminalError, match="not currently available for inference") as raised:
        Server(replace(config.flags, rest_api_port=free_port())).start()
    assert raised.value.subject == "stable"


def test_the_flag_frees_new_labels_only(
    config: Config, two: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config.write(model(two, stable=1))
    flags = replace(config.flags, allow_version_labels_for_unavailable_models=True)
    with serving(flags) as client:
        until(lambda: client.factor("m/labels/stable") == 1.0)
        config.write(model(two, stable=1, fresh=8))
        until(lambda: client.predict("m/labels/fresh", {}).status_code == 404)
        config.write(model(two, stable=7, fresh=8, added=2))
        until(lambda: "assign label to version 7" in caplog.text)
        assert client.factor("m/labels/stable") == 1.0
        assert client.predict("m/labels/added", {}).status_code == 400


def test_a_broken_file_leaves_the_old_configuration(
    config: Config, two: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config.write(model(two, versions="specific { versions: 1 }"))
    with serving(config.flags) as client:
        client.wait(1)
        config.file.write_text("model_config_list { confg {} }")
        until(lambda: "the old configuration stays" in caplog.text)
        assert "confg" in caplog.text
        assert client.factor() == 1.0
        assert client.state(2) is None
        config.write(model(two, versions="specific { versions: 2 }"))
        client.wait(2)
        client.wait(1, "END")


def test_an_unknown_kind_of_base_path_changes_nothing(
    config: Config, two: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config.write(model(two, versions="specific { versions: 1 }"))
    with serving(config.flags) as client:
        client.wait(1)
        other = 'name: "o" base_path: "ftp://host/m" model_platform: "tensorflow"'
        config.write(model(two), other)
        until(lambda: "ftp://" in caplog.text)
        assert client.state(2) is None
        assert client.factor() == 1.0


def test_models_come_and_go_and_policies_change(config: Config, two: Path) -> None:
    config.write(model(two, versions="latest { num_versions: 1 }"))
    with serving(config.flags) as client:
        client.wait(2)
        assert client.versions().keys() == {2}
        config.write(model(two, versions="latest { num_versions: 2 }"), model(two, name="n"))
        client.wait(1)
        client.wait(2, model="n")
        config.write(model(two, name="n", versions="specific { versions: 1 }"))
        client.wait(2, "END", model="n")
        until(lambda: client.factor() is None)
        assert client.factor("n") == 1.0


def test_another_base_path_takes_over_once_its_version_is_available(
    config: Config, two: Path, models: Path
) -> None:
    other = two.parent / "other"
    other.mkdir()
    place(models / "times3", other / "3")
    config.write(model(two))
    with serving(config.flags) as client:
        client.wait(2)
        with Traffic(str(client.http.base_url), "m") as traffic:
            config.write(model(other))
            client.wait(3)
            client.wait(2, "END")
        assert traffic.failures == []
        assert client.factor() == 3.0
