"""What docker-compose.yaml tells the model servers and Prometheus, read by what reads it there."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.local.stack import Stack
from slipway.serving.server.config import read_monitoring_config
from slipway.serving.server.flags import ServerFlags, parse_flags
from slipway.spec.loader import load_spec, spec_files
from support.compose import compose
from support.http import answering
from support.specs import PROJECT

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
PROMETHEUS_FILE = PROJECT / "docker" / "prometheus.yml"

# TensorFlow Serving listens on every interface, and reads local folders only.
OUR_OWN_FLAGS = {"rest_api_host", "model_cache_dir"}


def arguments(service: str) -> list[str]:
    """Flags of a model server."""
    return [word for word in SERVICES[service]["command"] if word.startswith("--")]


def flags(service: str) -> ServerFlags:
    return parse_flags(arguments(service))


def mounted(service: str, path: str) -> tuple[str, bool]:
    """What is mounted at a path or above it, and whether it is read-only."""
    for volume in SERVICES[service]["volumes"]:
        source, target, *rest = volume.split(":")
        if path == target or path.startswith(f"{target}/"):
            return source, rest == ["ro"]
    raise AssertionError(path)


def test_both_servers_are_given_the_same_flags() -> None:
    ours = {
        word for word in arguments("slipway-server") if word[2:].split("=")[0] not in OUR_OWN_FLAGS
    }
    theirs = set(arguments("tensorflow-serving"))
    assert theirs - ours == {"--port=8500"}
    assert ours <= theirs
    assert flags("slipway-server").ignored == ()


def test_the_server_is_told_what_the_stack_of_one_machine_tells_its_own(tmp_path: Path) -> None:
    places = {"rest_api_host", "rest_api_port", "model_config_file", "monitoring_config_file"}
    command = Stack(tmp_path, PROJECT)._model_server().command
    local = asdict(parse_flags([word for word in command if word.startswith("--")]))
    here = asdict(flags("slipway-server"))
    different = {name for name, value in local.items() if here[name] != value}
    assert different <= places | {"model_cache_dir"}


def test_tensorflow_serving_is_given_none_of_our_own_flags() -> None:
    given = {word[2:].split("=")[0] for word in arguments("tensorflow-serving")}
    assert not given & OUR_OWN_FLAGS


def test_the_server_listens_where_others_look_for_it() -> None:
    server = flags("slipway-server")
    assert server.rest_api_host == "0.0.0.0"
    connection = json.loads(
        SERVICES["scheduler"]["environment"]["AIRFLOW_CONN_MODEL_SERVER_DEFAULT"]
    )
    assert connection["port"] == server.rest_api_port
    assert connection["host"] in SERVICES["slipway-server"]["networks"]["default"]["aliases"]
    assert SERVICES["slipway-server"]["ports"] == [f"127.0.0.1:8501:{server.rest_api_port}"]


@pytest.mark.parametrize("service", ["slipway-server", "tensorflow-serving"])
def test_rollouts_write_the_model_config_file_that_the_server_polls(service: str) -> None:
    connection = json.loads(
        SERVICES["scheduler"]["environment"]["AIRFLOW_CONN_MODEL_SERVER_DEFAULT"]
    )
    file = connection["extra"]["model_config_file"]
    assert flags(service).model_config_file == file
    assert flags(service).model_config_file_poll_wait_seconds > 0
    assert SERVICES["init"]["command"][-1] == file
    assert mounted("scheduler", file) == ("serving", False)
    assert mounted(service, file) == ("serving", True)


def test_every_model_is_brought_to_where_tensorflow_serving_is_told_to_look() -> None:
    specs = [load_spec(file) for file in spec_files(PROJECT / "dags/models")]
    assert specs
    assert mounted("tensorflow-serving", "/published") == ("published", True)
    for spec in specs:
        service = SERVICES[f"sync-{spec.model.replace('_', '-')}"]
        assert service["profiles"] == ["tensorflow-serving"]
        assert service["command"][:4] == [
            "slipway", "sync", f"{spec.publish.base_uri}/{spec.model}", f"/published/{spec.model}",
        ]  # fmt: skip
        assert service["command"][-1] == f"http://serving:8501/v1/models/{spec.model}"
        assert service["volumes"] == ["published:/published"]
        parsed = CliRunner().invoke(app, [*service["command"][1:], "--help"])
        assert parsed.exit_code == 0, parsed.output


def test_prometheus_scrapes_what_the_server_shows() -> None:
    source, _ = mounted("slipway-server", flags("slipway-server").monitoring_config_file)
    monitoring = read_monitoring_config(ServerFlags(monitoring_config_file=str(PROJECT / source)))
    assert monitoring.enabled
    [job] = yaml.safe_load(PROMETHEUS_FILE.read_text("utf-8"))["scrape_configs"]
    assert job["metrics_path"] == monitoring.path
    assert job["static_configs"] == [{"targets": ["serving:8501"]}]
    assert mounted("prometheus", "/etc/prometheus/prometheus.yml")[0] == "./docker/prometheus.yml"


def test_prometheus_scrapes_often_enough_for_every_health_window() -> None:
    scrape = int(yaml.safe_load(PROMETHEUS_FILE.read_text())["global"]["scrape_interval"][:-1])
    specs = [load_spec(file) for file in spec_files(PROJECT / "dags/models")]
    assert specs
    for spec in specs:
        assert spec.rollout.health.window_seconds >= 4 * scrape, spec.model


def test_prometheus_itself_accepts_its_configuration() -> None:
    promtool = shutil.which("promtool")
    assert promtool, "make install installs prometheus, which brings promtool"
    done = subprocess.run(
        [promtool, "check", "config", str(PROMETHEUS_FILE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_is_of_a_version_whose_flags_are_known() -> None:
    known = subprocess.run(
        [shutil.which("prometheus") or "prometheus", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for word in SERVICES["prometheus"]["command"]:
        assert word.split("=")[0] in known.stdout + known.stderr


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (404, False), (503, False)])
def test_the_servers_health_check_wants_a_page_of_metrics(status: int, healthy: bool) -> None:
    shell, option, script = SERVICES["tensorflow-serving"]["healthcheck"]["test"][1:]
    with answering({"/monitoring/prometheus/metrics": (status, b"x")}) as address:
        there = script.replace("/127.0.0.1/8501", f"/127.0.0.1/{address.port}")
        done = subprocess.run([shell, option, there], check=False)
        assert (done.returncode == 0) is healthy


def test_the_servers_health_check_fails_where_nobody_listens() -> None:
    shell, option, script = SERVICES["slipway-server"]["healthcheck"]["test"][1:]
    with answering({}) as address:
        port = address.port
    there = script.replace("/127.0.0.1/8501", f"/127.0.0.1/{port}")
    done = subprocess.run([shell, option, there], capture_output=True, check=False)
    assert done.returncode != 0


def test_the_monitoring_path_is_the_one_of_the_health_check() -> None:
    script = SERVICES["slipway-server"]["healthcheck"]["test"][-1]
    file = Path(PROJECT / "docker/monitoring.config")
    path = read_monitoring_config(ServerFlags(monitoring_config_file=str(file))).path
    assert f"GET {path} " in script
