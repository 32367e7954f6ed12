"""What an asset's event says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.contracts import StepResult
from slipway.errors import TerminalError
from slipway_airflow.assets import event_of, model_asset, newest_version


def test_a_model_has_one_asset():
    assert model_asset("digits") == model_asset("digits")
    assert model_asset("digits").uri == "x-slipway://digits"


def test_an_event_names_version_and_digest():
    result = StepResult(step="publish", model="m", details={"version": 2, "digest": "d"})
    assert event_of("m", result) == {"model": "m", "version": 2, "digest": "d"}


def test_an_event_says_where_the_version_is_and_how_it_got_there():
    details = {"version": 2, "digest": "d", "uri": "s3://b/m/2", "variant": "small", "other": 1}
    metrics = {"uploaded_bytes": 5.0, "transfer_seconds": 0.5}
    event = event_of("m", StepResult(step="publish", model="m", details=details, metrics=metrics))
    assert (event["uri"], event["variant"]) == ("s3://b/m/2", "small")
    assert event["transfer"] == metrics
    assert "other" not in event


def test_events_that_name_no_version_ask_for_the_newest():
    assert newest_version([]) == {}
    assert newest_version([{}, {"from": "the UI"}]) == {}


@given(st.lists(st.integers(min_value=1), min_size=1))
def test_of_several_events_the_highest_version_is_rolled_out(versions: list[int]):
    events = [{"version": version, "digest": f"d{version}"} for version in versions]
    highest = max(versions)
    assert newest_version(events) == {"version": highest, "digest": f"d{highest}"}


@pytest.mark.parametrize("version", ["latest", None, 0, -1, True, [1]])
def test_a_version_that_is_none_is_refused_by_name_and_costs_no_other_its_turn(version: Any):
    with pytest.raises(TerminalError, match="names no version: version"):
        newest_version([{"version": version}])
    assert newest_version([{"version": version}, {"version": 2}])["version"] == 2
