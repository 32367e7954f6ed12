"""Every benchmark, one after the other: `make bench`. Exit status 1 if a limit is broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BENCHMARKS = ("parse", "build", "sync", "health", "variants")


def main() -> int:
    broken = []
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, str(FOLDER / f"{name}.py")], check=False).returncode:
            broken.append(name)
    print(f"broken: {', '.join(broken)}" if broken else "every limit holds")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
