"""Container images without a registry: archives in the OCI layout, which containerd imports."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_CHUNK_BYTES = 1 << 20
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Layer:
    """One layer of an image.

    Attributes:
        digest: SHA-256, in hexadecimal; the layer is not compressed, so this is its diff id too.
        size: In bytes.
        file: The layer itself; None if containerd has it already.
    """

    digest: str
    size: int
    file: Path | None

    def described(self) -> dict[str, str | int]:
        """For a file beside the image."""
        return {"digest": self.digest, "size": self.size}


def layer(file: Path, folders: Mapping[str, Path]) -> Layer:
    """Writes a layer: all belongs to root, whoever made the files.

    Args:
        file: Where to.
        folders: What lies where in the image: a file or a folder with all that is in it.
    """
    with tarfile.open(file, "w") as archive:
        for name, source in folders.items():
            archive.add(source, name.strip("/"), filter=_of_root)
    sha = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            sha.update(chunk)
    return Layer(sha.hexdigest(), file.stat().st_size, file)


def write_image(
    archive: Path, name: str, layers: Sequence[Layer], config: Mapping[str, Any]
) -> None:
    """Writes an archive for `ctr images import`.

    Args:
        archive: Where to.
        name: Of the image, with a tag.
        layers: From the lowest to the uppermost.
        config: Entrypoint, Env and the like, in the words of the OCI image configuration.
    """
    with tarfile.open(archive, "w") as out:
        add = _adder(out)
        for one in layers:
            if one.file:
                out.add(one.file, f"blobs/sha256/{one.digest}")
        history = {
            "architecture": "amd64",
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one.digest}" for one in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _blob(add, _CONFIG, history),
            "layers": [
                {"mediaType": _LAYER, "digest": f"sha256:{one.digest}", "size": one.size}
                for one in layers
            ],
        }
        described = _blob(add, _MANIFEST, manifest)
        described["annotations"] = {"io.containerd.image.name": name}
        index = {"schemaVersion": 2, "manifests": [described]}
        add("index.json", json.dumps(index).encode())
        add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')


def _blob(add: Callable[[str, bytes], None], media: str, content: object) -> dict[str, Any]:
    data = json.dumps(content).encode()
    sha = hashlib.sha256(data).hexdigest()
    add(f"blobs/sha256/{sha}", data)
    return {"mediaType": media, "digest": f"sha256:{sha}", "size": len(data)}


def _adder(out: tarfile.TarFile) -> Callable[[str, bytes], None]:
    def add(name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        out.addfile(entry, io.BytesIO(data))

    return add


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
