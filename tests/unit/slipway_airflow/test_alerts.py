"""Who is told of failed and late runs, and what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.spec.alerts import Alert
from slipway.spec.loader import load_spec
from slipway_airflow.alerts import SlipwayAlert, alert_arguments, tell_deadline
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path


def told_to(file: Path, text: str = "{{ slipway.message }}") -> dict[str, Any]:
    return {"notifier": "support.told.Told", "arguments": {"file": str(file), "text": text}}


def context(**more: Any) -> Any:
    return {"run_id": "manual__1", "reason": "task_failure", **more}


def test_a_late_run_is_told_with_its_name_and_how_late_it_is(tmp_path: Path):
    file = tmp_path / "told"
    run = {"dag_run": {"dag_run_id": "manual__1"}}
    late = tell_deadline(
        model="tiny",
        dag_id="tiny__build",
        seconds=60,
        notifiers=[told_to(file)],
        context=run,
    )
    asyncio.run(late)
    text = file.read_text("utf-8")
    assert "tiny__build run manual__1: it has not ended after 60 s" in text
    assert "What to do: " in text


def test_an_alert_goes_out_although_the_bucket_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AIRFLOW_CONN_AWS_DEFAULT"):
        monkeypatch.delenv(name, raising=False)
    spec = load_spec(write_spec(tmp_path))

    def silent(*_: Any) -> None:
        raise TerminalError("no bucket", hint="none", subject="bucket")

    monkeypatch.setattr("slipway_airflow.hooks.bucket.stable_version", silent)
    file = tmp_path / "told"
    SlipwayAlert(spec, Alert.model_validate(told_to(file)))(context())
    assert "Still serving: unknown: the bucket does not answer" in file.read_text("utf-8")


@pytest.mark.parametrize("on", ["failure", "deadline"])
def test_an_alert_is_for_what_the_spec_says(tmp_path: Path, on: str):
    extra = f"alerts: [{{notifier: support.told.Told, when: [{on}]}}]\ndeadline_seconds: 60\n"
    found = alert_arguments(load_spec(write_spec(tmp_path, extra=extra)), "build")
    assert set(found) == {"on_failure_callback" if on == "failure" else "deadline"}


def test_a_spec_without_alerts_costs_nothing(tmp_path: Path):
    assert alert_arguments(load_spec(write_spec(tmp_path)), "build") == {}
