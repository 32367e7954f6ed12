"""`slipway render`, without a cluster and without credentials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import yaml
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.kubernetes import manifests
from slipway.spec.loader import load_spec
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path

runner = CliRunner()
SERVED = "serve: {kubernetes: {namespace: serving, pod_monitor: true}}\n"


def test_it_prints_documents_that_say_just_what_is_rendered(tmp_path: Path):
    file = write_spec(tmp_path, extra=SERVED)
    done = runner.invoke(app, ["render", str(file), "--version", "4"])
    assert done.exit_code == 0
    assert list(yaml.safe_load_all(done.stdout)) == manifests.render(load_spec(file), 4)
    assert not [line for line in done.stdout.splitlines() if "&id" in line or "\\n" in line]


def test_json_is_one_list_with_the_same_objects(tmp_path: Path):
    file = write_spec(tmp_path, extra=SERVED)
    done = runner.invoke(app, ["render", str(file), "--output", "json"])
    found = json.loads(done.stdout)
    assert (found["apiVersion"], found["kind"]) == ("v1", "List")
    assert found["items"] == manifests.render(load_spec(file))


def test_the_text_is_the_same_in_every_process_and_needs_no_environment(tmp_path: Path):
    file = write_spec(tmp_path, extra=SERVED)
    command = [sys.executable, "-m", "slipway.cli", "render", str(file)]
    printed = {
        subprocess.run(
            command,
            env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_a_model_that_is_not_served_on_kubernetes_is_said_to_be_so(tmp_path: Path):
    done = runner.invoke(app, ["render", str(write_spec(tmp_path))])
    assert done.exit_code == 1
    assert "tiny is not served on Kubernetes" in done.stderr
    assert not done.stdout
