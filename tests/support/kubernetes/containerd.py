"""containerd of a machine: its configuration, and the images that it has from the start."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import SlipwayError, TransientError
from support.kubernetes import runtime_image
from support.kubernetes.machine import Machine
from support.kubernetes.oci import Layer, layer, write_image
from support.kubernetes.places import cache_folder, digest, filled_once, keep_newest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "slipway.test/pause:1"
_CNI_PLUGINS = "/usr/lib/cni"
_BASE_IMAGE = "slipway.test/base:1"
_START_SECONDS = 30.0
_KEPT = 2  # the images of the branch that one is on, and of the one that one comes from
_DATABASES = "*.db"  # written in place
_CONFIG = """\
version = 2
root = "{root}"
state = "/run/containerd/state"

[grpc]
address = "{socket}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# This process may not have CAP_SYS_RESOURCE: lower scores are left as they are.
restrict_oom_score_adj = true
disable_apparmor = true
disable_hugetlb_controller = true
tolerate_missing_hugetlb_controller = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{networks}"
"""


def start(machine: Machine, root: Path) -> None:
    """Starts it and waits until it answers.

    Args:
        machine: Where.
        root: Its images and containers.

    Raises:
        TransientError: It does not answer.
    """
    config = machine.folder / "containerd.toml"
    networks = networks_folder(machine)
    networks.mkdir(exist_ok=True)
    config.write_text(
        _CONFIG.format(
            root=root, socket=SOCKET, pause=PAUSE_IMAGE, plugins=_CNI_PLUGINS, networks=networks
        )
    )
    machine.start_component("containerd", ["containerd", "--config", str(config)])
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            machine.run("ctr", "--connect-timeout", "1s", "version")
        except SlipwayError:
            if time.monotonic() > deadline:
                raise TransientError(
                    "containerd does not answer",
                    hint=f"read {machine.logs / 'containerd.log'}",
                    subject="containerd",
                ) from None
            time.sleep(0.05)
        else:
            return


def networks_folder(machine: Machine) -> Path:
    """Where it looks for the network of pods."""
    return machine.folder / "networks"


def cached_root(pause: Path, say: Callable[[str], None]) -> Path:
    """A root of containerd that has the large layers, made once.

    Args:
        pause: The program of the pause image.
        say: Told what takes long.
    """
    sources = [*runtime_image.sources(), pause.read_bytes(), Path(__file__).read_bytes()]
    folder = cache_folder() / "images" / digest(sources)
    with filled_once(folder) as empty:
        if empty is not None:
            say("making the image of the pods, once: about 2 minutes and 4 GB")
            making = empty / "making"
            making.mkdir()
            _fill(empty, making, pause)
            shutil.rmtree(making)
    folder.touch()
    keep_newest(folder.parent, _KEPT)
    return folder


def copy_root(cached: Path, root: Path) -> None:
    """Gives a cluster a root of its own; layers are never written, so links to them will do."""
    subprocess.run(["cp", "--archive", "--link", str(cached / "root"), str(root)], check=True)
    for database in (cached / "root").rglob(_DATABASES):
        own = root / database.relative_to(cached / "root")
        own.unlink()
        shutil.copy2(database, own)


def add_slipway(machine: Machine, cached: Path) -> None:
    """Adds the image of the pods: the cached layers, and Slipway as it is now."""
    below = [Layer(**one, file=None) for one in json.loads((cached / "layers.json").read_text())]
    with tempfile.TemporaryDirectory(dir=machine.folder) as making:
        top = runtime_image.upper_layer(Path(making))
        _import(machine, runtime_image.SERVING_IMAGE, [*below, top], Path(making, "image.tar"))


def _fill(folder: Path, making: Path, pause: Path) -> None:
    layers = runtime_image.lower_layers(making)
    described = [one.described() for one in layers]
    (folder / "layers.json").write_text(json.dumps(described))
    machine = Machine(making / "machine", making / "logs").start()
    try:
        start(machine, folder / "root")
        _import(machine, _BASE_IMAGE, layers, making / "image.tar")
        paused = layer(making / "pause.tar", {"pause": pause})
        config = {"Entrypoint": ["/pause"]}
        _import(machine, PAUSE_IMAGE, [paused], making / "pause-image.tar", config)
        machine.stop_component("containerd")
    finally:
        machine.stop()


def _import(
    machine: Machine,
    name: str,
    layers: list[Layer],
    archive: Path,
    config: Mapping[str, object] | None = None,
) -> None:
    write_image(archive, name, layers, config or runtime_image.CONFIG)
    machine.run("ctr", "--namespace", "k8s.io", "images", "import", str(archive))
    archive.unlink()
