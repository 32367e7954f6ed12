"""Airflow's Kubernetes connection as the kubeconfig that the library takes."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import TerminalError
from slipway_airflow.hooks.kubernetes import kubernetes_environment

CONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "contexts": [{"name": "one", "context": {}}, {"name": "two", "context": {}}],
    "current-context": "one",
}


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KUBECONFIG", "SLIPWAY_KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


def connect(monkeypatch: pytest.MonkeyPatch, name: str, **extra: Any) -> None:
    made = {"conn_type": "kubernetes", "extra": extra}
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(made))


@pytest.mark.parametrize("prefix", ["", "extra__kubernetes__"])
@pytest.mark.parametrize("as_text", [True, False])
def test_a_kubeconfig_in_the_connection_becomes_a_file_that_only_we_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prefix: str, as_text: bool
) -> None:
    name = f"kube_a{len(prefix)}{as_text}".lower()
    connect(
        monkeypatch, name, **{f"{prefix}kube_config": json.dumps(CONFIG) if as_text else CONFIG}
    )
    file = Path(kubernetes_environment(name, tmp_path)["SLIPWAY_KUBECONFIG"])
    assert json.loads(file.read_text()) == CONFIG
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.parent == tmp_path


def test_a_path_is_handed_on_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "own"
    file.write_text(json.dumps(CONFIG))
    connect(monkeypatch, "kube_b", kube_config_path=str(file))
    assert kubernetes_environment("kube_b", tmp_path) == {"SLIPWAY_KUBECONFIG": str(file)}


def test_the_context_that_the_connection_names_is_the_current_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connect(monkeypatch, "kube_c", kube_config=CONFIG, cluster_context="two")
    file = Path(kubernetes_environment("kube_c", tmp_path)["SLIPWAY_KUBECONFIG"])
    assert json.loads(file.read_text())["current-context"] == "two"


def test_in_cluster_means_the_pods_own_account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connect(monkeypatch, "kube_d", in_cluster=True)
    assert kubernetes_environment("kube_d", tmp_path) == {"SLIPWAY_KUBECONFIG": ""}


def test_without_the_connection_the_environment_says_which_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(TerminalError, match="no Airflow connection kube_nowhere"):
        kubernetes_environment("kube_nowhere", tmp_path)
    monkeypatch.setenv("SLIPWAY_KUBECONFIG", "/some/where")
    assert kubernetes_environment("kube_nowhere", tmp_path) == {}


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"in_cluster": True, "kube_config": CONFIG}, "sets in_cluster and kube_config"),
        ({"kube_config": "no kubeconfig"}, "no kubeconfig"),
        ({"kube_config": CONFIG, "cluster_context": "three"}, "names the context three"),
        ({"kube_config_path": "/nowhere/kubeconfig"}, "/nowhere/kubeconfig, which is not there"),
        ({}, "which is not there"),
    ],
)
def test_a_connection_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, extra: dict[str, Any], said: str
) -> None:
    name = f"kube_e{abs(hash(said)) % 10**6}"
    connect(monkeypatch, name, **extra)
    with pytest.raises(TerminalError, match=said) as caught:
        kubernetes_environment(name, tmp_path)
    assert caught.value.subject == name
    assert not list(tmp_path.glob("kubeconfig*"))
