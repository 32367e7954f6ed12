"""What docs/sync.md and docs/buckets.md tell an operator to write is true."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.serving.sync.metrics import Metrics
from slipway.serving.upkeep.findings import KINDS
from support.specs import PROJECT

PAGE = (PROJECT / "docs" / "sync.md").read_text("utf-8")
BUCKETS = (PROJECT / "docs" / "buckets.md").read_text("utf-8")


def pod() -> dict[str, Any]:
    [text] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    spec: dict[str, Any] = yaml.safe_load(text)["spec"]["template"]["spec"]
    return spec


def sync_commands() -> list[list[str]]:
    shown = [line for line in PAGE.replace("\\\n", " ").splitlines() if "slipway sync s3" in line]
    shown = [line[line.index("slipway sync") :].partition("#")[0] for line in shown]
    return [pod()["initContainers"][0]["command"], *map(shlex.split, shown)]


@pytest.mark.parametrize("command", sync_commands(), ids=" ".join)
def test_every_sync_command_is_one(command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command[1:], "--help"])
    assert done.exit_code == 0, done.output


def test_the_sidecar_writes_where_the_server_reads() -> None:
    spec = pod()
    [sync], [server] = spec["initContainers"], spec["containers"]
    assert sync["restartPolicy"] == "Always"
    assert f"--model_base_path={sync['command'][3]}" in server["args"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    for container in (sync, server):
        [mount] = container["volumeMounts"]
        assert mount["name"] in volumes
        assert sync["command"][3].startswith(mount["mountPath"])
        assert bool(mount.get("readOnly")) == (container is server)
    ports = {sync[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe")}
    assert ports == {sync["ports"][0]["containerPort"]}


def test_every_metric_that_is_named_exists() -> None:
    shown = Metrics().exposition()
    named = set(re.findall(r"slipway_sync_[a-z_]+", PAGE))
    assert named
    assert {name for name in named if name not in shown} == set()
    kinds = set(re.findall(r'kind="([a-z_]+)"', shown))
    assert kinds <= set(re.findall(r"`([a-z_]+)`", PAGE))


def test_what_repair_does_is_said_of_each_kind() -> None:
    table = dict(re.findall(r"^\| `([a-z_]+)` \| (.*) \|$", BUCKETS, re.MULTILINE))
    mended = {kind for kind, entry in KINDS.items() if entry.mends}
    assert mended == table.keys() & set(KINDS)


def test_every_finding_that_is_shown_is_one() -> None:
    shown = re.findall(r"^(error|warning|note) ([a-z_]+) digits", BUCKETS, re.MULTILINE)
    assert len(shown) > 5
    assert {(kind, severity) for severity, kind in shown} <= {
        (kind, entry.severity) for kind, entry in KINDS.items()
    }
    for _, kind in shown:
        assert KINDS[kind].do in BUCKETS
