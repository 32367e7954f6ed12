"""docker/: the image and what runs in it, as far as that can be tried without an engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from support.compose import compose
from support.http import answering
from support.specs import PROJECT

DOCKER = PROJECT / "docker"


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their arguments, continued lines joined."""
    text = (DOCKER / "airflow.Dockerfile").read_text("utf-8")
    joined = re.sub(r"\\\n\s*", "", text)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def arguments(instruction: str) -> list[str]:
    return [rest for word, rest in instructions() if word == instruction]


def test_the_base_is_pinned_and_of_the_python_that_the_project_needs() -> None:
    [base] = arguments("FROM")
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", base)


def test_it_does_not_run_as_root() -> None:
    assert instructions()[-1] == ("USER", "50000")
    assert "useradd --uid 50000 " in arguments("RUN")[0]


def test_everything_that_is_copied_exists_and_reaches_the_builder() -> None:
    patterns = (DOCKER / "airflow.Dockerfile.dockerignore").read_text("utf-8").splitlines()
    kept = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    for copied in arguments("COPY"):
        for source in copied.split()[:-1]:
            assert (PROJECT / source).exists(), source
            assert any(
                fnmatch(source, pattern) or source.startswith(f"{pattern}/") for pattern in kept
            )


def test_neither_secrets_nor_history_reach_the_builder() -> None:
    patterns = (DOCKER / "airflow.Dockerfile.dockerignore").read_text("utf-8").splitlines()
    rules = [pattern for pattern in patterns if pattern and not pattern.startswith("#")]
    assert rules[0] == "*"
    assert not [rule for rule in rules if rule.startswith(("!.", "!*"))]


def test_only_what_is_pinned_is_installed() -> None:
    installs = [run for run in arguments("RUN") if "pip install" in run]
    assert len(installs) == 2
    assert all("--no-deps" in run and "--no-cache-dir" in run for run in installs)
    for file in ("requirements.txt", "docker/requirements.txt"):
        assert f"-r {file}" in installs[0]
        lines = (PROJECT / file).read_text("utf-8").splitlines()
        named = [line for line in lines if line and not line.startswith("#")]
        assert [
            line for line in named if not re.match(r"[A-Za-z0-9._-]+(\[[^]]+\])?==\S+", line)
        ] == []


def test_volumes_of_the_steps_belong_to_the_user_of_the_image() -> None:
    owned = arguments("RUN")[0].split("--owner=airflow")[1].split()
    volumes = [mount.split(":") for mount in compose()["services"]["scheduler"]["volumes"]]
    written = [mount[1] for mount in volumes if mount[-1] != "ro"]
    assert written
    assert set(written) <= set(owned)


@pytest.mark.parametrize(("status", "expected"), [("healthy", 0), ("unhealthy", 1), (None, 1)])
def test_a_component_is_healthy_only_if_the_api_server_says_so(
    status: str | None, expected: int
) -> None:
    page = json.dumps({"scheduler": {"status": status}}).encode()
    with answering({"/health": (200, page)}) as address:
        command = [sys.executable, str(DOCKER / "healthy.py"), "scheduler", f"{address.url}/health"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == expected
    assert done.stdout == f"scheduler: {status}\n"


def test_a_component_is_not_healthy_if_the_api_server_does_not_answer() -> None:
    with answering({}) as address:
        command = [sys.executable, str(DOCKER / "healthy.py"), "scheduler", f"{address.url}/health"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0


@pytest.fixture
def initialise(tmp_path: Path) -> Path:
    """A folder in which docker/init.sh ran, with an `airflow` that only says how it was called."""
    stub = tmp_path / "bin" / "airflow"
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\necho "$@" >>"{tmp_path}/airflow.calls"\n[ "$2" != get ]\n')
    stub.chmod(0o755)
    run_init(tmp_path)
    return tmp_path


def run_init(folder: Path, password: str = 'o"dd') -> None:
    environment = {
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder / "passwords.json"),
        "AIRFLOW_ADMIN_PASSWORD": password,
    }
    script = [str(DOCKER / "init.sh"), str(folder / "models.config")]
    subprocess.run(["bash", *script], env=environment, check=True)


def test_init_migrates_and_leaves_a_password_and_an_empty_model_config(initialise: Path) -> None:
    calls = (initialise / "airflow.calls").read_text().splitlines()
    assert calls == ["db migrate", "pools get slipway", "pools set slipway 2 Slipway's builds"]
    passwords = initialise / "passwords.json"
    assert json.loads(passwords.read_text()) == {"admin": 'o"dd'}
    assert passwords.stat().st_mode & 0o077 == 0
    assert (initialise / "models.config").read_text() == "model_config_list {}\n"


def test_init_again_takes_the_new_password_and_keeps_what_is_served(initialise: Path) -> None:
    (initialise / "models.config").write_text("served")
    run_init(initialise, "new")
    assert json.loads((initialise / "passwords.json").read_text()) == {"admin": "new"}
    assert (initialise / "models.config").read_text() == "served"
