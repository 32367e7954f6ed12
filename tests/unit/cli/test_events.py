"""What arrived for a model, on the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from slipway.cli.main import app
from slipway.events.book import SetAside, change_events, read_events, set_aside
from slipway.events.ledger import Event
from slipway.storage import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from slipway.storage import Store

AT = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path.as_uri())
    common = {"modified_at": AT, "first_seen_at": AT, "changed_at": AT}
    events = (
        Event(id="a@1", state="failed", reason="the run failed", run_id="event__a", **common),
        Event(id="b@2", state="started", reason="run event__b", run_id="event__b", **common),
    )
    change_events(store, "digits", lambda ledger: ledger.put(*events))
    set_aside(store, "sqs-drops", [SetAside.of("not JSON", "{", AT)])
    return store


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.console.console._width", 200)


def ask(store: Store, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["events", f"{store.uri}/digits", *arguments])


def test_every_decision_is_shown_with_its_reason(store: Store) -> None:
    shown = ask(store).stdout
    assert "a@1" in shown
    assert "the run failed" in shown
    assert "not JSON: {" in shown
    told = json.loads(ask(store, "--json").stdout)
    assert [event["state"] for event in told["events"]] == ["failed", "started"]
    assert [one["reason"] for one in told["set_aside"]] == ["not JSON"]


def test_a_replay_makes_a_decided_event_pending_again(store: Store) -> None:
    assert ask(store, "--replay", "a@1").exit_code == 0
    event = read_events(store, "digits").events["a@1"]
    assert (event.state, event.attempt, event.run_id) == ("pending", 2, None)


@pytest.mark.parametrize(("event", "told"), [("b@2", "is started"), ("c@3", "there is no event")])
def test_what_cannot_be_replayed_is_refused_in_one_line(
    store: Store, event: str, told: str
) -> None:
    done = ask(store, "--replay", event)
    assert done.exit_code == 1
    assert told in done.stderr


def test_what_a_stranger_wrote_moves_no_cursor_and_is_no_markup(store: Store) -> None:
    hostile = "\x1b]0;title\x07\x1b[2J[/red]"
    set_aside(store, "sqs-drops", [SetAside.of("refused", hostile, AT)])
    change_events(
        store,
        "digits",
        lambda ledger: ledger.put(
            ledger.events["a@1"].model_copy(update={"reason": f"said {hostile}"})
        ),
    )
    result = ask(store)
    assert result.exit_code == 0, result.output
    assert "\x1b]0" not in result.stdout
    assert "\x1b[2J" not in result.stdout
    assert result.stdout.count("[/red]") == 2
