from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import TerminalError
from slipway.serving.server.config import (
    MonitoringConfig,
    VersionPolicy,
    initial_models,
    parse_model_config,
    read_monitoring_config,
)
from slipway.serving.server.flags import ServerFlags

if TYPE_CHECKING:
    from pathlib import Path

TWO_MODELS = """
model_config_list {
  config {
    name: "digits"
    base_path: "/models/digits"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 3 versions: 4 } }
    version_labels { key: "stable" value: 3 }
    version_labels { key: "canary" value: 4 }
  }
  config {
    name: "wine"
    base_path: "s3://bucket/models/wine"
    model_platform: "tensorflow"
    model_version_policy { latest { num_versions: 2 } }
  }
}
"""


def test_a_config_file_gives_models_policies_and_labels() -> None:
    digits, wine = parse_model_config(TWO_MODELS, "models.config")
    assert digits.policy == VersionPolicy("specific", versions=frozenset({3, 4}))
    assert digits.labels == {"stable": 3, "canary": 4}
    assert (wine.base_path, wine.policy.count) == ("s3://bucket/models/wine", 2)


def _one(**fields: str) -> str:
    written = " ".join(f'{name}: "{value}"' for name, value in fields.items() if value)
    return f"model_config_list {{ config {{ {written} }} }}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model_config_list { confg {} }", "no ModelServerConfig text proto: 1:"),
        (_one(base_path="/m", model_platform="tensorflow"), "has no name"),
        (_one(name="m", base_path="/m"), "model_platform"),
        (_one(name="m", base_path="m", model_platform="tensorflow"), "absolute path or URI"),
        (_one(name="m", model_platform="tensorflow"), "absolute path or URI"),
        ("custom_model_config {}", "custom_model_config"),
        (TWO_MODELS.replace("wine", "digits"), "Illegal to list model digits multiple times"),
    ],
)
def test_a_wrong_config_file_is_one_error_about_that_file(text: str, problem: str) -> None:
    with pytest.raises(TerminalError) as raised:
        parse_model_config(text, "models.config")
    assert problem in raised.value.message
    assert raised.value.subject == "models.config"


def test_a_model_by_flags_gets_an_absolute_base_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (model,) = initial_models(ServerFlags(model_name="m", model_base_path="models/m"))
    assert model.base_path == str(tmp_path / "models" / "m")


def test_a_config_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="absent"):
        initial_models(ServerFlags(model_config_file=str(tmp_path / "absent")))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prometheus_config { enable: true }", MonitoringConfig(enabled=True)),
        (
            'prometheus_config { enable: true path: "/metrics" }',
            MonitoringConfig(enabled=True, path="/metrics"),
        ),
        ("", MonitoringConfig()),
    ],
)
def test_the_monitoring_file_says_whether_and_where(
    tmp_path: Path, text: str, expected: MonitoringConfig
) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert read_monitoring_config(ServerFlags(monitoring_config_file=str(file))) == expected


def test_a_wrong_monitoring_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text("prometheus_config { enabled: true }")
    with pytest.raises(TerminalError, match="MonitoringConfig"):
        read_monitoring_config(ServerFlags(monitoring_config_file=str(file)))


@given(st.frozensets(st.integers(1, 50)), st.integers(0, 5))
def test_latest_takes_the_highest_and_never_fewer_than_one(
    existing: frozenset[int], count: int
) -> None:
    chosen = VersionPolicy("latest", count=count).choose(existing)
    assert len(chosen) == min(max(1, count), len(existing))
    assert all(kept > left for kept in chosen for left in existing - chosen)


@given(st.frozensets(st.integers(1, 9)), st.frozensets(st.integers(1, 9)))
def test_specific_takes_what_is_asked_for_and_exists(
    existing: frozenset[int], asked: frozenset[int]
) -> None:
    assert VersionPolicy("specific", versions=asked).choose(existing) == existing & asked
    assert VersionPolicy("all").choose(existing) == existing
