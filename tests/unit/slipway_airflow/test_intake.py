"""What the intake makes of events that come through Airflow's API, honest and hostile."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

import pytest
from airflow.api_fastapi.core_api.datamodels.assets import CreateAssetEventsBody

from slipway.errors import TerminalError
from slipway.events.book import read_events, read_set_asides
from slipway.events.drops import Listener
from slipway.storage import open_store
from slipway_airflow.operators import intake
from slipway_airflow.operators.intake import IntakeOperator
from support.arrivals import drop_model
from support.planted_models import plant

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.storage import Store


class Site:
    """One model that listens, in folders, and the runs that Airflow is asked for."""

    def __init__(self, folder: Path) -> None:
        self.base, self.place = folder / "published", folder / "drops"
        self.base.mkdir()
        self.place.mkdir()
        self.started: list[tuple[str, dict[str, Any]]] = []
        self.operator = IntakeOperator(
            task_id="start_runs",
            listeners=[
                Listener(
                    model="digits",
                    base_uri=str(self.base),
                    connection="",
                    incoming=f"file://{self.place}",
                    largest_bytes=1000,
                )
            ],
        )

    def open(self, uri: str, connection: str) -> Store:  # noqa: ARG002 - folders ask for none
        return open_store(uri.removeprefix("file://"))

    def start(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> bool:
        self.started.append((dag_id, conf))
        assert run_id
        return True

    def posted(self, *extras: dict[str, Any]) -> dict[str, list[str]]:
        """Runs the operator for events as Airflow's API passes them on."""
        bodies = [CreateAssetEventsBody(asset_id=1, extra=dict(extra)) for extra in extras]
        events = {"asset": [types.SimpleNamespace(extra=body.extra) for body in bodies]}
        context: Any = {"params": {}, "triggering_asset_events": events}
        return self.operator.execute(context)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path)
    monkeypatch.setattr(made.operator, "_places", made)
    monkeypatch.setattr(intake, "start_run", made.start)
    return made


def test_a_drop_that_a_call_of_the_api_names_starts_its_build(site: Site) -> None:
    drop_model(open_store(str(site.place)), "first", "1")
    uri = f"file://{site.place}/first"
    site.posted({"model": "digits", "incoming": uri})
    [(dag_id, conf)] = site.started
    assert (dag_id, conf["incoming"]["uri"]) == ("digits__build", uri)


@pytest.mark.parametrize(
    "extra",
    [
        {"from_trigger": True},
        {"from_trigger": True, "payload": {"models": [["digits"]]}},
        {"model": "digits", "version": "latest"},
        {"model": "digits", "version": None},
        {"model": "digits", "incoming": "s3://elsewhere/first"},
        {"model": "unknown", "version": 1},
        {},
    ],
    ids=str,
)
def test_a_hostile_event_is_set_aside_and_the_others_have_their_turn(
    site: Site, extra: dict[str, Any]
) -> None:
    told = site.posted(extra, {"model": "digits", "version": 3})
    assert len(told["refused"]) == 1
    aside = read_set_asides(open_store(str(site.base)))
    assert [one.reason for one in aside] == told["refused"]
    assert "version-3" in read_events(open_store(str(site.base)), "digits").events


@pytest.mark.parametrize("payload", [{}, {"payload": {}}, {"payload": {"models": [["digits"]]}}])
def test_what_only_looks_like_a_triggers_event_is_set_aside(
    site: Site, payload: dict[str, Any]
) -> None:
    events = {"asset": [types.SimpleNamespace(extra={"from_trigger": True, **payload})]}
    context: Any = {"params": {}, "triggering_asset_events": events}
    assert len(site.operator.execute(context)["refused"]) == 1


def test_a_drop_that_is_too_large_is_refused_unread(site: Site) -> None:
    drop_model(open_store(str(site.place)), "large", "1" * 2000)
    site.posted({"model": "digits", "incoming": f"file://{site.place}/large"})
    [event] = read_events(open_store(str(site.base)), "digits").events.values()
    assert (event.state, event.digest) == ("refused", None)
    assert "largest_bytes is 1000" in event.reason
    assert site.started == []


def test_a_half_upload_starts_nothing_and_the_whole_one_its_build(site: Site) -> None:
    plant(site.place, "clean_vocabulary")
    folder = site.place / "clean_vocabulary"
    [asset] = (folder / "assets").iterdir()
    kept = asset.read_bytes()
    asset.unlink()
    site.operator.listeners["digits"] = site.operator.listeners["digits"].model_copy(
        update={"largest_bytes": None}
    )
    named = {"model": "digits", "incoming": f"file://{folder}"}
    site.posted(named)
    assert site.started == []
    [event] = read_events(open_store(str(site.base)), "digits").events.values()
    assert (event.state, event.reason.partition(";")[0]) == (
        "ignored",
        f"assets/{asset.name} is missing",
    )
    asset.write_bytes(kept)
    site.posted(named)
    assert [dag_id for dag_id, _ in site.started] == ["digits__build"]


def test_a_bucket_that_fails_costs_no_other_event_its_turn(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    drops = f"file://{site.place}"

    def fail(uri: str, connection: str) -> Store:
        if uri == drops:
            raise TerminalError("the bucket of drops refuses", hint="", subject=uri)
        return site.open(uri, connection)

    monkeypatch.setattr(site.operator, "_places", types.SimpleNamespace(open=fail))
    named = {"model": "digits", "incoming": f"{drops}/first"}
    with pytest.raises(TerminalError, match="refuses"):
        site.posted(named, {"model": "digits", "version": 3})
    assert "version-3" in read_events(open_store(str(site.base)), "digits").events
