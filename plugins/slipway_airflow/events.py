"""What events make of DAGs: a build's schedule, and the one DAG that starts runs for all models."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from airflow.sdk import (
    DAG,
    Asset,
    AssetAny,
    AssetOrTimeSchedule,
    AssetWatcher,
    CronTriggerTimetable,
    Param,
)

from slipway.events.drops import Listener
from slipway.spec.events import source_of
from slipway_airflow import docs
from slipway_airflow.assets import GROUP
from slipway_airflow.failures import RETRY_POLICY
from slipway_airflow.operators.intake import IntakeOperator
from slipway_airflow.triggers.events import EventTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk.definitions.asset import BaseAsset

    from slipway.spec.model import ModelSpec

INTAKE_DAG = "slipway__intake"
INTAKE_ASSET = "slipway_intake"
"""The asset to which Airflow's REST API may say what a queue would."""

_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


def build_schedule(spec: ModelSpec) -> Any:
    """The schedule of a build: by time, by other DAGs' assets, or both."""
    assets = [_reference(event.asset) for event in spec.events if event.asset is not None]
    if not assets:
        return spec.schedule
    if spec.schedule is None:
        return AssetAny(*assets)
    cron = CronTriggerTimetable(_PRESETS.get(spec.schedule, spec.schedule), timezone="UTC")
    return AssetOrTimeSchedule(assets=AssetAny(*assets), timetable=cron)


def intake_dag(specs: Sequence[ModelSpec]) -> DAG | None:
    """The DAG that starts the runs of every model that listens; None if none does.

    Each source is an asset with one watcher, whatever number of models listen: the triggerer runs
    one trigger for it.
    """
    listening = [spec for spec in specs if any(event.is_source for event in spec.events)]
    if not listening:
        return None
    listeners = sorted((listener_of(spec) for spec in listening), key=lambda each: each.model)
    dag = DAG(
        INTAKE_DAG,
        schedule=AssetAny(*_sources(listening), Asset(INTAKE_ASSET, group=GROUP)),
        catchup=False,
        # Airflow takes minutes to be sure that a task is dead; another run does its work meanwhile.
        max_active_runs=3,
        # A watcher waits only for a DAG that is not paused.
        is_paused_upon_creation=False,
        description="Starts the runs that events from outside ask for",
        doc_md=docs.intake_doc(),
        tags={"slipway", "intake"},
    )
    IntakeOperator(
        task_id="start_runs",
        listeners=listeners,
        dag=dag,
        owner="slipway",
        retries=3,
        retry_policy=RETRY_POLICY,
        doc_md="Decides what is pending in the event ledgers and starts what follows.",
    )
    dag.params["model"] = Param(
        None,
        type=["string", "null"],
        enum=[None, *(listener.model for listener in listeners)],
        title="Model",
        description="Whose events to decide; empty: those that the event names, or all.",
    )
    dag.params["replay"] = Param(
        None,
        type=["string", "null"],
        title="Replay",
        description="An event of that model which is to be run once more; `slipway events` lists "
        "them.",
    )
    return dag


def listener_of(spec: ModelSpec) -> Listener:
    """A spec as the watcher must know it."""
    incoming = spec.incoming
    own: dict[str, Any] = {}
    if incoming is not None and incoming.uri is not None:
        own = {
            "incoming": incoming.uri,
            "incoming_connection": incoming.connection,
            "marker": incoming.marker,
            "settle_seconds": incoming.settle_seconds,
            "largest_bytes": incoming.largest_bytes,
        }
    publish = spec.publish
    return Listener(
        model=spec.model, base_uri=publish.base_uri, connection=publish.connection, **own
    )


def source_name(source: dict[str, Any]) -> str:
    """A source's name: what it is, for people, and a hash of all that it is."""
    place = source.get("queue") or source.get("subscription") or source.get("uri") or ""
    last = re.sub(r"[^A-Za-z0-9_-]", "_", str(place).rstrip("/").rpartition("/")[2])[:40]
    whole = hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()
    return f"{source['kind']}-{last}-{whole[:8]}"


def _sources(specs: Sequence[ModelSpec]) -> list[Asset]:
    sources: dict[str, dict[str, Any]] = {}
    listeners: dict[str, dict[str, Listener]] = {}
    for spec in specs:
        incoming = spec.incoming.uri if spec.incoming else None
        own = spec.incoming.connection if spec.incoming else spec.publish.connection
        for event in spec.events:
            source = source_of(event, incoming, own)
            if source is not None:
                name = source_name(source)
                sources[name] = source
                listeners.setdefault(name, {})[spec.model] = listener_of(spec)
    return [
        _source(name, source, [each for _, each in sorted(listeners[name].items())])
        for name, source in sorted(sources.items())
    ]


def _source(name: str, source: dict[str, Any], listeners: Sequence[Listener]) -> Asset:
    trigger = EventTrigger(
        name=name,
        source=json.dumps(source, sort_keys=True),
        listeners=json.dumps([listener.model_dump(mode="json") for listener in listeners]),
    )
    return Asset(
        f"{INTAKE_ASSET}-{name}",
        uri=f"x-slipway-intake://{name}",
        group=GROUP,
        watchers=[AssetWatcher(name=name, trigger=trigger)],
    )


def _reference(asset: str) -> BaseAsset:
    return Asset.ref(uri=asset) if "://" in asset else Asset.ref(name=asset)
