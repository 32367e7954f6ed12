"""Events from a real queue start runs: soon, and once, whatever is killed."""

from __future__ import annotations

import random
import statistics
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from slipway.events.book import read_events
from slipway.events.decide import run_id_of
from slipway.storage import open_store
from support.airflow_lives import kill_component
from support.arrivals import drop_model, notification
from support.house import BUILD_SECONDS
from support.specs import PROJECT, SMALLEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slipway.events.ledger import Event
    from slipway.storage import Store
    from support.house import House

# A triggerer that was killed is missed after half a minute, a scheduler after as long.
pytestmark = [pytest.mark.operations, pytest.mark.timeout(1500)]

BUCKET = "slipway-models"
INTAKE = "slipway__intake"
ANSWER_SECONDS = 15.0
MODELS = [f"dropped_{n:02d}" for n in range(20)]
DROPS = 700
EVENTS = 1000


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(1)  # each look at a long queue costs its server


def listen(house: House, models: Sequence[str], queue: str, settle_seconds: float) -> str:
    """Adds models that listen to a queue; its URL."""
    url = house.sqs.create_queue(queue, visible_again_seconds=30)
    for model in models:
        spec = yaml.safe_load(SMALLEST.format(model=model))
        spec |= {
            "publish": {"base_uri": f"s3://{BUCKET}"},
            "incoming": {"uri": place(model), "settle_seconds": settle_seconds},
            "events": [{"sqs": {"queue": queue, "connection": "sqs_default"}}],
        }
        (house.specs / f"{model}.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    return url


def place(model: str) -> str:
    return f"s3://{BUCKET}/drops/{model}"


def drops(house: House, model: str) -> Store:
    return open_store(place(model), house.stack.credentials)


def drop(house: House, model: str, name: str, content: str) -> str:
    """Drops a model; the message of the file that makes it complete."""
    last = drop_model(drops(house, model), name, content)[-1]
    return notification(BUCKET, f"drops/{model}/{last}")


def events_of(house: House, model: str) -> list[Event]:
    return list(read_events(house.store, model).events.values())


def test_a_drop_becomes_a_running_task_within_seconds(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    url = listen(house, ["quick"], "quick", settle_seconds=2)
    house.api.wait_for_dag("quick__build")
    house.api.wait_for_dag(INTAKE)
    took = []
    for number in range(5):
        message = drop(house, "quick", f"d{number}", str(number))
        sent = datetime.now(UTC)
        house.sqs.send(url, [message])
        took.append((first_task(house, "quick", number + 1) - sent).total_seconds())
        [run] = [r for r in house.api.runs("quick__build") if r["state"] in {"running", "queued"}]
        path = f"/dags/quick__build/dagRuns/{run['dag_run_id']}"
        house.api.call("PATCH", path, json={"state": "failed"})
    with capsys.disabled():
        sys.stdout.write(f"\nfrom event to running task, in seconds: {sorted(took)}\n")
    assert statistics.median(took) <= ANSWER_SECONDS


def test_a_drop_that_a_call_of_the_api_names_starts_its_run(house: House) -> None:
    listen(house, ["called"], "called", settle_seconds=0.5)
    house.api.wait_for_dag("called__build")
    house.api.wait_for_dag(INTAKE)
    drop_model(drops(house, "called"), "first", "1")
    found = house.api.call("GET", "/assets?name_pattern=slipway_intake")["assets"]
    [asset] = [each for each in found if each["name"] == "slipway_intake"]
    extra = {"model": "called", "incoming": f"{place('called')}/first"}
    event = {"asset_id": asset["id"], "extra": extra}
    house.api.call("POST", "/assets/events", json=event)
    wait_for(lambda: house.api.runs("called__build"))
    [run] = house.api.runs("called__build")
    assert [e.run_id for e in events_of(house, "called")] == [run["dag_run_id"]]
    path = f"/dags/called__build/dagRuns/{run['dag_run_id']}"
    house.api.call("PATCH", path, json={"state": "failed"})


def first_task(house: House, model: str, count: int) -> datetime:
    """When the first task of the newest of so many runs started."""
    started: list[str] = []

    def running() -> bool:
        runs = house.api.runs(f"{model}__build")
        if len(runs) < count:
            return False
        newest = max(runs, key=lambda run: str(run["run_after"]))
        tasks = house.api.tasks(f"{model}__build", newest["dag_run_id"])
        started[:] = [task["start_date"] for task in tasks if task["start_date"]]
        return bool(started)

    wait_for(running)
    return datetime.fromisoformat(min(started))


def test_a_dropped_model_is_validated_published_and_served_with_nobody_touching_anything(
    house: House,
) -> None:
    folder = PROJECT / "include/models/breast_cancer/saved_model"
    spec = yaml.safe_load((house.specs / "breast_cancer.yaml").read_text("utf-8"))
    spec |= {
        "model": "served",
        "incoming": {"uri": place("served"), "optimise": False},
        "events": [{"sqs": {"queue": "served", "connection": "sqs_default"}}],
    }
    del spec["saved_model"]
    (house.specs / "served.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    url = house.sqs.create_queue("served")
    for dag_id in ("served__build", "served__rollout", INTAKE):
        house.api.wait_for_dag(dag_id)

    store = drops(house, "served")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        key = f"by-hand/{path.relative_to(folder).as_posix()}"
        store.upload(path, key)
        house.sqs.send(url, [notification(BUCKET, f"drops/served/{key}")])

    wait_for(lambda: house.api.runs("served__rollout"), BUILD_SECONDS)
    rollout_id, state = house.rollout_of_event("served")
    assert state == "success", house.states("served__rollout", rollout_id)
    answer = httpx.get(f"{house.stack.model_server_url}/v1/models/served/labels/stable")
    assert answer.json()["model_version_status"][0]["state"] == "AVAILABLE"
    wait_for(lambda: [event.state for event in events_of(house, "served")] == ["done"])
    [event] = events_of(house, "served")
    assert (event.version, event.reason) == (1, "version 1")
    # The same content again, in another folder, starts nothing and says why.
    for path in files:
        key = f"again/{path.relative_to(folder).as_posix()}"
        store.upload(path, key)
        house.sqs.send(url, [notification(BUCKET, f"drops/served/{key}")])
    wait_for(lambda: events_of(house, "served")[-1].state == "ignored")
    assert events_of(house, "served")[-1].reason == "same digest as version 1"
    assert len(house.api.runs("served__build")) == 1


def test_every_version_is_handled_once_whatever_is_killed_meanwhile(house: House) -> None:
    url = listen(house, MODELS, "burst", settle_seconds=0.5)
    for model in MODELS:
        house.api.wait_for_dag(f"{model}__build")
        # Its runs are to exist, not to work.
        house.api.call("PATCH", f"/dags/{model}__build", json={"is_paused": True})
    house.api.wait_for_dag(INTAKE)
    chance = random.Random(6)
    distinct = [
        drop(house, MODELS[n % len(MODELS)], f"d{n:03d}", f"content {n}") for n in range(DROPS)
    ]
    messages = distinct + chance.choices(distinct, k=EVENTS - DROPS)
    chance.shuffle(messages)

    house.sqs.send(url, messages[:400])
    wait_for(lambda: house.sqs.left(url) < 350)
    kill_component(house, "airflow-triggerer")
    house.sqs.send(url, messages[400:700])
    house.stack.up()
    wait_for(lambda: house.sqs.left(url) < 500 and house.api.runs(f"{MODELS[0]}__build"))
    kill_component(house, "airflow-scheduler")
    house.stack.up()
    # What these two deaths had lost would stay lost: none of it is sent again.
    wait_for(lambda: not house.sqs.left(url))
    house.sqs.send(url, messages[700:])
    wait_for(lambda: house.sqs.left(url) < 250)
    house.sqs.kill()
    time.sleep(3)
    house.sqs.start()
    house.sqs.create_queue("burst", visible_again_seconds=30)
    # What it held is lost with it; its sender, not knowing what arrived, sends it again.
    house.sqs.send(url, messages[700:])

    def over() -> bool:
        if house.sqs.left(url):
            return False
        events = [event for model in MODELS for event in events_of(house, model)]
        return len(events) == DROPS and all(
            event.state in {"started", "superseded"} for event in events
        )

    wait_for(over, 600)
    for number, model in enumerate(MODELS):
        events = events_of(house, model)
        assert len({event.drop for event in events}) == len(events) == DROPS // len(MODELS)
        [newest] = [e for e in events if e.drop == f"d{DROPS - len(MODELS) + number:03d}"]
        assert newest.state == "started"
        ran = sorted(event.run_id or "" for event in events if event.state == "started")
        assert ran == sorted(run["dag_run_id"] for run in house.api.runs(f"{model}__build"))
        assert run_id_of(newest) in ran
