"""Selected TensorFlow operations where a runtime links them: TensorFlow 2.19's own interpreter.

That release is not ours and does not fit beside ours, so it gets an environment of its own (2 GB,
kept in .venv/environments): a tier of its own, `make test-environments`.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.workspace import Workspace
from support.techniques import ask

pytestmark = [pytest.mark.environments, pytest.mark.timeout(1800)]

RELEASE = "tensorflow==2.19.1"
_RUN = """
import json, sys
import numpy as np
import tensorflow as tf
runner = tf.lite.Interpreter(sys.argv[1]).get_signature_runner("determinant")
matrix = np.random.default_rng(3).normal(size=(5, 3, 3)).astype("f")
known = tf.saved_model.load(sys.argv[2]).signatures["determinant"](matrix=tf.constant(matrix))
difference = float(np.abs(runner(matrix=matrix)["value"] - known["value"].numpy()).max())
print(json.dumps({"release": tf.__version__, "difference": difference}))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with that release, made once."""
    place = Path(sys.prefix) / "environments" / RELEASE.replace("==", "-")
    place.parent.mkdir(exist_ok=True)
    uv = Path(sys.executable).with_name("uv")
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            subprocess.run(
                [uv, "venv", "--quiet", "--clear", "--python", "3.11", place], check=True
            )
            install = [uv, "pip", "install", "--quiet", "--python", place / "bin/python", RELEASE]
            subprocess.run(install, check=True)
            (place / "complete").touch()
    return place / "bin/python"


def test_a_runtime_that_links_the_operations_answers_as_the_saved_model_does(
    python: Path, tmp_path: Path
) -> None:
    from support.signatures import several

    source = several(Workspace(tmp_path))
    config = {"signature": "determinant", "select_tf_ops": True}
    made = ask("tflite", tmp_path, config=config, source=source).artifact
    assert made is not None
    command = [python, "-c", _RUN, made.servable / "model.tflite", source.servable]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["release"] == RELEASE.partition("==")[2]
    assert found["difference"] < 1e-5
