"""Who is told of failed and late runs, and what."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from slipway.alerts import alert_text
from slipway.errors import TerminalError
from slipway.serving.channels import move_channel
from slipway.serving.publish import publish
from slipway.spec.alerts import Alert
from slipway.spec.loader import load_spec
from slipway.storage import open_store
from slipway_airflow import alerts
from slipway_airflow.alerts import SlipwayAlert, alert_arguments, tell_deadline
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path


def told_to(file: Path, text: str = "{{ slipway.message }}") -> dict[str, Any]:
    return {"notifier": "support.told.Told", "arguments": {"file": str(file), "text": text}}


def context(**more: Any) -> Any:
    return {"run_id": "manual__1", "reason": "task_failure", **more}


def late(folder: Path, notifiers: list[dict[str, Any]]) -> None:
    publish_spec = {"base_uri": f"file://{folder}/bucket"}
    asyncio.run(
        tell_deadline(
            model="tiny",
            dag_id="tiny__build",
            seconds=60,
            publish=publish_spec,
            notifiers=notifiers,
            context={"dag_run": {"dag_run_id": "manual__1"}},
        )
    )


def test_a_late_run_is_told_with_its_name_how_late_it_is_and_what_serves(tmp_path: Path):
    file, source = tmp_path / "told", tmp_path / "exported"
    source.mkdir()
    (source / "saved_model.pb").write_bytes(b"graph")
    store = open_store(f"file://{tmp_path}/bucket")
    done = publish(store, "tiny", source, variant="original", metrics={}, golden=b"{}")
    move_channel(store, "tiny", "stable", version=1, digest=done.digest, expected_generation=0)
    late(tmp_path, [told_to(file)])
    text = file.read_text("utf-8")
    assert "tiny__build run manual__1: it has not ended after 60 s" in text
    assert "Still serving: version 1" in text
    assert "What to do: " in text


def test_a_late_run_is_told_although_the_bucket_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    answered = threading.Event()
    monkeypatch.setattr(alerts, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(
        "slipway_airflow.hooks.bucket.stable_version", lambda *_: answered.wait(1) and None
    )
    file = tmp_path / "told"
    late(tmp_path, [told_to(file)])
    assert "unknown: the bucket does not answer; `slipway versions tiny`" in file.read_text("utf-8")


def test_a_notifier_that_raises_does_not_silence_the_rest(tmp_path: Path):
    file = tmp_path / "told"
    broken = told_to(tmp_path)  # a folder
    with pytest.raises(ExceptionGroup, match="1 of 2 were not told"):
        late(tmp_path, [broken, told_to(file)])
    assert "it has not ended after 60 s" in file.read_text("utf-8")


@pytest.mark.parametrize(
    ("kind", "failed", "is_late", "says", "never"),
    [
        ("rollout", "gc", False, "was promoted and serves", "withdrawn"),
        ("rollout", "health", False, "what was stable before still is", "promoted"),
        ("rollout", "preflight", False, "nothing was touched", "withdrawn"),
        ("rollout", "rollback", False, "the withdrawal itself failed", "still is"),
        ("rollback", "withdraw", False, "the withdrawal itself failed", "still is"),
        ("rollout", "", True, "mark it as failed: then rollback withdraws", "was withdrawn"),
        ("build", "", True, "let the task that works go on", "red"),
        ("adopt", "", True, "let it go on", "red"),
        ("adopt", "adopt", False, "ends with a hint", "let it go on"),
    ],
)
def test_what_to_do_fits_what_happened(
    kind: str, failed: str, is_late: bool, says: str, never: str
):
    text = alert_text(
        model="tiny",
        dag_id=f"tiny__{kind}",
        run_id="1",
        failed=failed,
        reason="it is late",
        serving="version 1",
        late=is_late,
    )
    to_do = text.partition("What to do: ")[2]
    assert says in to_do
    assert never not in to_do


def test_an_alert_for_deadlines_needs_one(tmp_path: Path):
    alert = "alerts: [{notifier: a.B}, {notifier: a.B, when: [deadline]}]\n"
    with pytest.raises(TerminalError, match=r"alerts\.1\.when.*deadline_seconds"):
        load_spec(write_spec(tmp_path, extra=alert))
    load_spec(write_spec(tmp_path, extra=f"{alert}deadline_seconds: 60\n"))


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
