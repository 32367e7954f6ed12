"""`slipway sync` needs the library's own few packages: no TensorFlow, no Airflow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from slipway.storage import open_store
from support.following import MODEL, publish_model
from support.models import write_model

ROOT = Path(__file__).resolve().parents[3]
# `make install` puts it beside Python; on PATH it need not be.
UV = str(Path(sys.executable).with_name("uv"))


def test_a_fresh_environment_with_the_base_packages_alone_follows(tmp_path: Path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "include/slipway", source / "include/slipway")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    venv = tmp_path / "venv"
    python = str(venv / "bin/python")
    for command in (
        [UV, "venv", "--quiet", "--python", "3.11", str(venv)],
        [UV, "pip", "install", "--quiet", "--python", python, str(source)],
    ):
        subprocess.run(command, check=True, env=environment)
    packages = subprocess.run(
        [UV, "pip", "list", "--python", python], check=True, capture_output=True, text=True
    ).stdout.lower()
    assert "slipway" in packages
    for absent in ("tensorflow", "airflow", "numpy"):
        assert absent not in packages
    slipway = str(venv / "bin/slipway")
    shown = subprocess.run(
        [slipway, "sync", "--help"], check=True, capture_output=True, text=True, env=environment
    )
    assert "once" in shown.stdout
    published = tmp_path / "published"
    publish_model(open_store(str(published)), write_model(tmp_path / "m", seed=1))
    subprocess.run(
        [slipway, "sync", str(published / MODEL), str(tmp_path / "served"), "--once"],
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    assert (tmp_path / "served/1/saved_model.pb").stat().st_size == 3_000
    profile = subprocess.run(
        [slipway, "sync", "s3://models/digits", str(tmp_path / "other"), "--once"],
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"AWS_PROFILE": "models", "AWS_ACCESS_KEY_ID": ""},
    )
    assert profile.returncode == 1
    assert "pip install '.[profiles]'" in profile.stderr
