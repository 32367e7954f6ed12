"""The image of pods: Debian's Python, TensorFlow, and Slipway as it is in this working tree.

It stands in for TensorFlow Serving's image and takes its command line; steps run in it too.
"""

from __future__ import annotations

import compileall
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from support.kubernetes.oci import Layer, layer
from support.kubernetes.places import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVING_IMAGE = "slipway.test/runtime:1"
_DEBIAN = ("python3.11", "libstdc++6", "bash", "coreutils", "sed", "grep", "ca-certificates")
# Airflow calls steps and is never called by one.
_NOT_IN_PODS = "apache-airflow"
_PACKAGES = "/opt/slipway/packages"
_USERS = "root:x:0:0:root:/root:/bin/sh\nslipway:x:50001:50001::/tmp:/bin/sh\n"
_GROUPS = "root:x:0:\nslipway:x:50001:\n"
_SCRIPTS = {
    # TensorFlow Serving listens on every interface, Slipway's server on loopback unless told.
    "usr/bin/tensorflow_model_server": (
        'exec python3.11 -m slipway.serving.server --rest_api_host=0.0.0.0 "$@"'
    ),
    "usr/bin/tf_serving_entrypoint.sh": (
        "exec tensorflow_model_server --port=8500 --rest_api_port=8501 "
        '--model_name="$MODEL_NAME" --model_base_path="$MODEL_BASE_PATH/$MODEL_NAME" "$@"'
    ),
    "usr/bin/slipway": 'exec python3.11 -m slipway.cli "$@"',
}
CONFIG: dict[str, Any] = {
    "Entrypoint": ["/usr/bin/tf_serving_entrypoint.sh"],
    "ExposedPorts": {"8500/tcp": {}, "8501/tcp": {}},
    "WorkingDir": "/opt/slipway",
    "Env": [
        "PATH=/usr/local/bin:/usr/bin:/bin",
        f"PYTHONPATH=/opt/slipway/include:{_PACKAGES}",
        "PYTHONUNBUFFERED=1",
        "PYTHONDONTWRITEBYTECODE=1",
        "TF_CPP_MIN_LOG_LEVEL=2",
        "MODEL_NAME=model",
        "MODEL_BASE_PATH=/models",
    ],
}


def sources() -> list[bytes]:
    """What the lower layers are made of, for a key of the cache."""
    files = [PROJECT / "requirements.in", PROJECT / "requirements.txt", Path(__file__)]
    contents = [file.read_bytes() for file in files]
    return [*contents, platform.machine().encode(), Path("/etc/debian_version").read_bytes()]


def lower_layers(folder: Path) -> list[Layer]:
    """Debian with Python, and the Python packages: large, and the same for months.

    Args:
        folder: An empty one, for the layers.
    """
    debian, packages = folder / "debian", folder / "packages"
    _unpack_debian(debian, folder / "archives")
    _install_packages(packages, folder)
    return [
        layer(folder / "debian.tar", {"/": debian}),
        layer(folder / "packages.tar", {_PACKAGES: packages}),
    ]


def upper_layer(folder: Path) -> Layer:
    """Slipway itself, and the commands.

    Args:
        folder: An empty one, for the layer.
    """
    include = folder / "include"
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(PROJECT / "include", include, ignore=skip)
    compileall.compile_dir(include, quiet=2, stripdir=str(folder), prependdir="/opt/slipway")
    content = {"opt/slipway/include": include}
    for name, line in _SCRIPTS.items():
        script = folder / Path(name).name
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)
        content[name] = script
    return layer(folder / "slipway.tar", content)


def _unpack_debian(root: Path, archives: Path) -> None:
    """No maintainer script is run: what they would do and is needed is done here."""
    (archives / "partial").mkdir(parents=True)
    (archives / "status").touch()  # as if nothing were installed, so that apt names all of it
    options = [f"Dir::State::status={archives}/status", f"Dir::Cache::archives={archives}"]
    options += ["APT::Install-Recommends=false", "Debug::NoLocking=1"]
    command = ["apt-get", "install", "--quiet", "--yes", "--download-only"]
    _run([*command, *(part for option in options for part in ("-o", option)), *_DEBIAN])
    root.mkdir()
    for package in sorted(archives.glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(package), str(root)])
    (root / "etc/passwd").write_text(_USERS)
    (root / "etc/group").write_text(_GROUPS)
    (root / "bin/sh").symlink_to("bash")
    for name in ("python", "python3"):
        (root / "usr/bin" / name).unlink(missing_ok=True)
        (root / "usr/bin" / name).symlink_to("python3.11")
    trusted = sorted((root / "usr/share/ca-certificates").rglob("*.crt"))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.write_bytes(b"".join(one.read_bytes() for one in trusted))


def _install_packages(target: Path, folder: Path) -> None:
    wanted = (PROJECT / "requirements.in").read_text().splitlines()
    asked = folder / "requirements.in"
    asked.write_text("\n".join(line for line in wanted if not line.startswith(_NOT_IN_PODS)))
    command = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet"]
    command += ["--python", sys.executable, "--target", str(target)]
    _run([*command, "-c", str(PROJECT / "requirements.txt"), "-r", str(asked)])
    # Headers to compile against, a quarter of TensorFlow.
    shutil.rmtree(target / "tensorflow" / "include")
    # A pod may not write: without bytecode each would compile TensorFlow anew, for 5 seconds.
    compileall.compile_dir(target, quiet=2, workers=0, stripdir=str(target), prependdir=_PACKAGES)


def _run(command: Sequence[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TerminalError(
            f"the image of the pods could not be made: {' '.join(command)}: "
            + "\n".join(done.stderr.splitlines()[-5:]),
            hint="try that command by hand; after `apt-get update` if it is apt's",
            subject=command[0],
        )
