"""Publish and sync of a 300 MB model with 200 small files, against s5cmd and aws-cli.

All on one local S3 server, in turns, so that each meets the same machine. Programs are found as
``s5cmd`` and ``aws`` on PATH, or where S5CMD and AWS_CLI say; one that is missing is left out and
said so. Also: the memory of `slipway sync` while it moves 1 GB. Exit status 1 if a limit is broken.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.local.s3_server import S3Server

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = int(os.environ.get("SLIPWAY_BENCH_ROUNDS", "5"))
SLOWEST_TO_S5CMD = 1.15
FASTEST_TO_AWS = 1 / 1.4
MEMORY_LIMIT_MB = 100
MB = 1_000_000
PUBLISH = """
import sys
from pathlib import Path
from slipway.serving.publish import publish
from slipway.storage import open_store
store = open_store(sys.argv[1])
publish(store, sys.argv[2], Path(sys.argv[3]), variant="original", metrics={})
"""
# The peak of the child alone; its exit status is handed on.
MEASURE = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000)
sys.exit(status)
"""


def write_model(folder: Path, big_mb: int, small: int) -> Path:
    content = random.Random(1)
    sizes = {"saved_model.pb": MB, "variables/variables.index": 20_000}
    sizes |= {f"assets/part-{i:03}.txt": 5_000 for i in range(small)}
    for name, size in sizes.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.randbytes(size))
    with (folder / "variables/variables.data-00000-of-00001").open("wb") as stream:
        for _ in range(big_mb):
            stream.write(content.randbytes(MB))
    return folder


def timed(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[:3]} failed: {done.stderr[-2000:]}")
    return time.perf_counter() - began


def contenders(
    endpoint: str,
) -> dict[str, tuple[Callable[..., list[str]], Callable[..., list[str]]]]:
    """By name: the commands that send a folder up and fetch it, of (model name, folder)."""
    found = {
        "slipway": (
            lambda name, folder: [sys.executable, "-c", PUBLISH, "s3://bench", name, str(folder)],
            lambda name, folder: [
                *(sys.executable, "-m", "slipway.cli", "sync", f"s3://bench/{name}"),
                *(str(folder), "--once"),
            ],
        )
    }
    s5cmd = os.environ.get("S5CMD") or shutil.which("s5cmd")
    if s5cmd:
        base = [s5cmd, "--endpoint-url", endpoint]
        found["s5cmd"] = (
            lambda name, folder: [*base, "cp", f"{folder}/", f"s3://bench/{name}/"],
            lambda name, folder: [*base, "cp", f"s3://bench/{name}/*", f"{folder}/"],
        )
    aws = os.environ.get("AWS_CLI") or shutil.which("aws")
    if aws:
        options = ["--endpoint-url", endpoint, "--recursive", "--quiet"]
        found["aws"] = (
            lambda name, folder: [aws, "s3", "cp", str(folder), f"s3://bench/{name}", *options],
            lambda name, folder: [aws, "s3", "cp", f"s3://bench/{name}", str(folder), *options],
        )
    return found


def race(folder: Path, environment: dict[str, str], endpoint: str) -> bool:
    model = write_model(folder / "model", big_mb=300, small=200)
    runners = contenders(endpoint)
    times: dict[tuple[str, str], list[float]] = {}
    for turn in range(ROUNDS + 1):  # the first is for warming up
        for name, (up, down) in runners.items():
            # A model of its own each time: what is published already would not be sent again.
            place = f"{name}{turn}"
            for action, command in (
                ("publish", up(place, model)),
                ("sync", down(place, folder / "fetched")),
            ):
                seconds = timed(command, environment)
                if turn:
                    times.setdefault((name, action), []).append(seconds)
            shutil.rmtree(folder / "fetched")
    holds = True
    for action in ("publish", "sync"):
        ours = times["slipway", action]
        print(f"{action}: slipway {statistics.median(ours):.2f} s")
        for name, limit in (("s5cmd", SLOWEST_TO_S5CMD), ("aws", FASTEST_TO_AWS)):
            if (name, action) not in times:
                print(f"{action}: {name} is not installed, nothing to compare with")
                continue
            peers = times[name, action]
            ratio = statistics.median(a / b for a, b in zip(ours, peers, strict=True))
            good = ratio <= limit
            holds &= good
            print(
                f"{action}: {name} {statistics.median(peers):.2f} s, ratio {ratio:.2f}, "
                f"limit {limit:.2f}: {'holds' if good else 'BROKEN'}"
            )
    return holds


def memory(folder: Path, environment: dict[str, str]) -> bool:
    model = write_model(folder / "large", big_mb=1000, small=20)
    timed([sys.executable, "-c", PUBLISH, "s3://bench", "large", str(model)], environment)
    command = [sys.executable, "-m", "slipway.cli", "sync", "s3://bench/large"]
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *command, str(folder / "fetched"), "--once"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    peak = float(measured.stdout.split()[-1])
    holds = peak <= MEMORY_LIMIT_MB
    print(
        f"memory while 1 GB moves: {peak:.0f} MB, limit {MEMORY_LIMIT_MB}: "
        f"{'holds' if holds else 'BROKEN'}"
    )
    return holds


def main() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="bench-sync-") as name,
        S3Server(Path(name, "s3")) as s3,
    ):
        s3.create_bucket("bench")
        environment = {**os.environ, **s3.credentials.to_environment()}
        holds = race(Path(name), environment, s3.endpoint_url)
        return 0 if memory(Path(name), environment) and holds else 1


if __name__ == "__main__":
    sys.exit(main())
