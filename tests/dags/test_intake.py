"""Events as DAGs: one watcher a source, one DAG that starts the runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airflow.serialization.encoders import encode_trigger
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.base import BaseEventTrigger

from slipway_airflow.dag_builder import build_dags
from slipway_airflow.events import INTAKE_ASSET, INTAKE_DAG
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import DAG, Asset

ONE_QUEUE = "incoming: {{uri: 's3://drops/{model}'}}\nevents: [{{sqs: {{queue: drops}}}}]\n"


def assets_of(dag: DAG) -> dict[str, Asset]:
    condition = dag.timetable.asset_condition
    return {asset.name: asset for asset in condition.objects}


def watchers(dag: DAG) -> set[int]:
    """The triggers that Airflow would run: it knows one from another by this hash."""
    found = set()
    for asset in assets_of(dag).values():
        for watcher in asset.watchers:
            encoded = encode_trigger(watcher.trigger)
            found.add(BaseEventTrigger.hash(encoded["classpath"], encoded["kwargs"]))
    return found


def test_two_hundred_models_on_one_queue_are_one_trigger(tmp_path: Path) -> None:
    for number in range(200):
        model = f"model_{number}"
        write_spec(tmp_path, model, ONE_QUEUE.format(model=model))
    intake = build_dags(tmp_path)[INTAKE_DAG]
    assert len(watchers(intake)) == 1
    [operator] = intake.tasks
    assert len(operator.listeners) == 200  # type: ignore[attr-defined]  # the intake's own
    # Parsed again, it is the same trigger: Airflow goes on with the one that runs.
    assert watchers(build_dags(tmp_path)[INTAKE_DAG]) == watchers(intake)


def test_each_source_is_one_trigger_and_no_secret_is_in_it(tmp_path: Path) -> None:
    more = (
        "events:\n- sqs: {queue: drops}\n- sqs: {queue: other}\n- bucket: {uri: 's3://drops'}\n"
        "- pubsub: {subscription: projects/p/subscriptions/s}\n"
    )
    for model in ("one", "two"):
        write_spec(tmp_path, model, f"incoming: {{uri: 's3://drops/{model}'}}\n{more}")
    intake = build_dags(tmp_path)[INTAKE_DAG]
    assert len(watchers(intake)) == 4
    names = sorted(name.rsplit("-", 1)[0] for name in assets_of(intake))
    assert names == [
        INTAKE_ASSET,
        *(
            f"{INTAKE_ASSET}-{source}"
            for source in ("bucket-drops", "pubsub-s", "sqs-drops", "sqs-other")
        ),
    ]


def test_the_intake_survives_serialization_and_is_not_paused_at_first(tmp_path: Path) -> None:
    write_spec(tmp_path, "one", ONE_QUEUE.format(model="one"))
    intake = build_dags(tmp_path)[INTAKE_DAG]
    assert intake.is_paused_upon_creation is False
    assert intake.max_active_runs > 1, "a run whose worker died must not hold up the others"
    json.dumps(DagSerialization.to_dict(intake))


def test_without_events_there_is_no_intake(tmp_path: Path) -> None:
    write_spec(tmp_path, "one")
    assert INTAKE_DAG not in build_dags(tmp_path)


def test_another_dags_asset_starts_a_build_beside_its_schedule(tmp_path: Path) -> None:
    write_spec(tmp_path, "both", "events: [{asset: data}]\nschedule: '@daily'\n")
    write_spec(tmp_path, "alone", "events: [{asset: 's3://data/x'}]\n")
    dags = build_dags(tmp_path)
    assert type(dags["both__build"].timetable).__name__ == "AssetOrTimeSchedule"
    assert type(dags["alone__build"].timetable).__name__ == "AssetTriggeredTimetable"
    for name in ("both__build", "alone__build"):
        json.dumps(DagSerialization.to_dict(dags[name]))
