"""A real Triton on loopback, from the wheel of PyTriton, which brings the server and one backend.

The wheel has Triton's Python backend only; `triton_backend` makes of it one for ONNX. Its pinned
NumPy is older than ours, so it is installed without its requirements beside our environment.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import site
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from slipway.local.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WHEEL = "nvidia-pytriton==0.7.0"

_PLACE = Path(sys.prefix) / "triton" / WHEEL.replace("==", "-")
_SHIM = Path(__file__).parent / "triton_backend" / "model.py"
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Triton:
    """A running server.

    Attributes:
        url: Of its HTTP API.
        metrics: Where it shows its metrics, host and port.
    """

    url: str
    metrics: str


@contextmanager
def triton(repository: Path, flags: Sequence[str], folder: Path) -> Iterator[Triton]:
    """Runs Triton with the flags of a pod, in another place.

    Args:
        repository: In place of the one that the flags name.
        flags: As a Deployment has them.
        folder: For backends and log.
    """
    package = _installed()
    ports = {name: free_port() for name in ("http-port", "grpc-port", "metrics-port")}
    replaced = {"--model-repository": repository, **{f"--{k}": v for k, v in ports.items()}}
    names = [flag.partition("=")[0] for flag in flags]
    assert {*names} >= replaced.keys()
    command = [str(package / "pytriton/tritonserver/bin/tritonserver")]
    command += [
        f"{name}={replaced[name]}" if name in replaced else flag
        for name, flag in zip(names, flags, strict=True)
    ]
    command += [f"--backend-directory={_backends(package, folder)}"]
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(package / "nvidia_pytriton.libs"),
        "SLIPWAY_TEST_PACKAGES": os.pathsep.join(site.getsitepackages()),
    }
    log = folder / "triton.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
    try:
        url = f"http://127.0.0.1:{ports['http-port']}"
        _wait(process, url, log)
        yield Triton(url, f"127.0.0.1:{ports['metrics-port']}")
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _installed() -> Path:
    """The wheel's folder; installed once for all test processes."""
    _PLACE.parent.mkdir(exist_ok=True)
    with _PLACE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _PLACE.exists():
            partial = _PLACE.with_name("partial")
            uv = Path(sys.executable).with_name("uv")
            command = [uv, "pip", "install", "--quiet", "--no-deps", "--target", partial, WHEEL]
            subprocess.run(command, check=True)
            partial.rename(_PLACE)
    return _PLACE


def _backends(package: Path, folder: Path) -> Path:
    # Triton follows no link out of a backend's folder.
    made = folder / "backends"
    (made / "onnxruntime").mkdir(parents=True)
    shutil.copy(_SHIM, made / "onnxruntime" / "model.py")
    source = package / "pytriton/tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = source / "python_backend_stubs" / version / "triton_python_backend_stub"
    stub.chmod(0o755)
    (made / "python").mkdir()
    for file in (*(source / "backends/python").iterdir(), stub):
        shutil.copy(file, made / "python" / file.name)
    return made


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, log.read_text("utf-8", "replace")
        assert time.monotonic() < deadline, log.read_text("utf-8", "replace")
        try:
            httpx.get(f"{url}/v2/health/live", trust_env=False, timeout=2)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
