"""Kubernetes and etcd, compiled from the Go modules that tests/kubernetes/cluster pins."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from slipway.errors import TerminalError, TransientError
from support.kubernetes.places import SOURCES, cache_folder, digest, filled_once, keep_newest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_BUILD_SECONDS = 3600
_KEPT = 2  # those of the branch that one is on, and of the one that one comes from
_VERSION_PACKAGE = "k8s.io/component-base/version"


def binaries(say: Callable[[str], None]) -> Path:
    """The folder with etcd, kube-apiserver and the others, compiled unless they are cached.

    Args:
        say: Told what takes long.

    Raises:
        TerminalError: Go is not installed, or the sources do not compile.
        TransientError: The modules could not be fetched.
    """
    if shutil.which("go") is None:
        raise TerminalError(
            "the cluster for tests is compiled from its Go modules, and go is not installed",
            hint="install Go 1.26 or newer, or set KUBECONFIG to test on a cluster of yours",
            subject="go",
        )
    names = sorted(path for path in SOURCES.rglob("*") if path.is_file() and path.suffix != ".md")
    contents = [path.read_bytes() for path in names]
    key = digest(
        [*contents, _go("env", "GOVERSION", "GOARCH").encode(), *map(str.encode, _flags())]
    )
    folder = cache_folder() / "binaries" / key
    with filled_once(folder) as empty:
        if empty is not None:
            say("compiling Kubernetes and etcd, once: about 10 minutes on two cores")
            _go("mod", "download")
            _go("build", *_flags(), "-o", f"{empty}/", "tool", "./pause")
            (empty / "server").rename(empty / "etcd")
    folder.touch()
    keep_newest(folder.parent, _KEPT)
    return folder


def kubernetes_version() -> str:
    """The version that go.mod pins, such as 1.37.2."""
    text = (SOURCES / "go.mod").read_text()
    found = re.search(r"^\s*(?:require )?k8s\.io/kubernetes v([\d.]+)\b", text, re.MULTILINE)
    assert found, "go.mod pins no k8s.io/kubernetes"
    return found.group(1)


def _flags() -> list[str]:
    """Static and stripped; a Kubernetes that was not told its version calls itself 0.0.0."""
    version = kubernetes_version()
    major, minor, _ = version.split(".")
    facts = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    linked = [f"-X {_VERSION_PACKAGE}.{name}={value}" for name, value in facts.items()]
    return ["-trimpath", "-ldflags", " ".join(["-s", "-w", *linked])]


def _go(*arguments: str) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(
        ["go", *arguments],
        cwd=SOURCES,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout.strip()
    kind = TransientError if "dial tcp" in done.stderr else TerminalError
    raise kind(
        f"go {' '.join(arguments)} failed: " + "\n".join(done.stderr.splitlines()[-5:]),
        hint=f"run it by hand in {SOURCES}",
        subject="go",
    )
