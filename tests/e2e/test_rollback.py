"""A version that does not answer as it was validated is taken back by the rollout DAG."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from slipway.contracts import ArtifactRef
from slipway.serving.channels import read_channel
from slipway.serving.layout import Layout
from slipway.serving.publish import Published, publish
from support.house import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.house import House

pytestmark = pytest.mark.e2e

BUILD, ROLLOUT = "digits__build", "digits__rollout"
TASKS = ("preflight", "deploy", "probe", "health", "promote", "rollback")


@pytest.fixture(scope="module")
def stable(house: House) -> tuple[str, int]:
    """A build whose version is stable: its run id and the version."""
    run_id, state = house.build("digits")
    assert state == "success", house.states(BUILD, run_id)
    assert house.rollout_of_event("digits")[1] == "success"
    channel = read_channel(house.store, "digits", "stable")
    assert channel is not None
    assert channel.version is not None
    return run_id, channel.version


@pytest.fixture(scope="module")
def corrupted(house: House, stable: tuple[str, int]) -> Published:
    """A version with the golden answers of the winner and the weights of another variant."""
    run_id, version = stable
    golden = house.store.get(Layout("digits").golden(version))
    assert golden is not None
    pruned = house.api.result(BUILD, run_id, "pruned.prune")["artifact"]
    folder = ArtifactRef.model_validate(pruned).servable
    return publish(
        house.store, "digits", folder, variant="corrupted", metrics={}, golden=golden.data
    )


@pytest.fixture(scope="module")
def traffic(house: House, stable: tuple[str, int]) -> Iterator[Traffic]:
    golden = house.store.get(Layout("digits").golden(stable[1]))
    assert golden is not None
    body = json.loads(golden.data)["requests"][0]["body"]
    url = f"{house.stack.model_server_url}/v1/models/digits/labels/stable:predict"
    traffic = Traffic(url, body)
    traffic.start()
    yield traffic
    traffic.stop()


def test_a_corrupted_version_is_rolled_back_with_its_evidence_and_stable_never_fails(
    house: House, stable: tuple[str, int], corrupted: Published, traffic: Traffic
) -> None:
    run_id, state = house.roll_out("digits", {"version": corrupted.version})
    states = house.states(ROLLOUT, run_id)
    assert state == "failed"
    assert {task: states[task] for task in TASKS} == {
        "preflight": "success",
        "deploy": "success",
        "probe": "failed",
        "health": "upstream_failed",
        "promote": "upstream_failed",
        "rollback": "success",
    }
    traffic.stop()
    assert traffic.asked > 100
    assert traffic.failed == []
    channel = read_channel(house.store, "digits", "stable")
    assert channel is not None
    assert channel.version == stable[1]
    details = house.api.result(ROLLOUT, run_id, "rollback")["details"]
    evidence = house.store.get(details["evidence"].removeprefix(f"{house.store.uri}/"))
    assert evidence is not None
    text = evidence.data.decode()
    probes = [entry for entry in json.loads(text)["steps"] if entry["step"] == "probe"]
    assert any(entry["differences"] for entry in probes)
    link = house.api.call("GET", f"/dags/{ROLLOUT}/dagRuns/{run_id}/taskInstances/rollback/links")
    assert any(url for url in link["extra_links"].values())
    log = house.api.log(ROLLOUT, run_id, "probe")
    assert "TerminalError" in log
    secret = house.stack.addresses.secret_access_key
    assert secret not in log + text
    assert not [file for file in _logs(house) if secret in file.read_text(errors="replace")]


def _logs(house: House) -> list[Path]:
    return [file for file in (house.stack.airflow.home / "logs").rglob("*.log") if file.is_file()]


def test_a_wrong_version_is_refused_before_anything_is_touched(house: House) -> None:
    run_id, state = house.roll_out("digits", {"version": 999})
    states = house.states(ROLLOUT, run_id)
    assert state == "failed"
    assert states["preflight"] == "failed"
    assert states["rollback"] == "skipped"
