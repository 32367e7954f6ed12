"""Versions that come, go, fail and come back while the server answers."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from support.served import FAST, Traffic, place, serving, until, write_warmup

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.serving.server import ServerFlags


def _flags(base: Path) -> ServerFlags:
    return replace(FAST, model_name="m", model_base_path=str(base))


def test_a_new_version_takes_over_without_a_failed_request(models: Path, base: Path) -> None:
    place(models / "times1", base / "1")
    with serving(_flags(base)) as client:
        client.wait(1)
        with Traffic(str(client.http.base_url), "m") as traffic:
            until(lambda: len(traffic.answers) > 50)
            place(models / "times2", base / "2")
            client.wait(1, "END")
            seen = len(traffic.answers)
            until(lambda: len(traffic.answers) > seen + 50)
        assert traffic.failures == []
        factors = traffic.factors()
        assert set(factors) == {1.0, 2.0}
        assert set(factors[-20:]) == {2.0}
        assert client.state(2) == "AVAILABLE"


def test_going_back_to_the_old_version_fails_no_request_either(models: Path, base: Path) -> None:
    place(models / "times1", base / "1")
    place(models / "times2", base / "2")
    with serving(_flags(base)) as client:
        client.wait(2)
        with Traffic(str(client.http.base_url), "m") as traffic:
            until(lambda: len(traffic.answers) > 50)
            (base / "2").rename(base / "withdrawn-2")
            client.wait(2, "END")
            seen = len(traffic.answers)
            until(lambda: len(traffic.answers) > seen + 20)
        assert traffic.failures == []
        assert traffic.factors()[-1] == 1.0


def test_a_half_copied_version_fails_for_good_while_the_old_one_serves(
    models: Path, base: Path
) -> None:
    place(models / "times1", base / "1")
    flags = replace(
        FAST,
        model_config_file=_all_versions(base),
        monitoring_config_file=_monitoring(base),
        max_num_load_retries=2,
    )
    with serving(flags) as client:
        client.wait(1)
        shutil.copytree(models / "times2", base / "partial")
        (base / "partial" / "saved_model.pb").rename(base / "kept.pb")
        (base / "partial").rename(base / "2")
        client.wait(2, "END")
        failure = client.versions()[2]["status"]
        assert failure["error_code"] == "NOT_FOUND"
        assert str(base / "2") in failure["error_message"]
        # What readiness on Kubernetes goes by: the status is 200 all the same.
        asked = ["2", "2/metadata", "1/metadata"]
        given = [client.http.get(f"/v1/models/m/versions/{path}").status_code for path in asked]
        assert given == [200, 404, 200]
        attempts = ":tensorflow:cc:saved_model:load_attempt_count"
        assert f'{attempts}{{model_path="{base / "2"}",status="fail"}} 3' in client.metrics()
        assert client.factor() == 1.0

        # Whole again, it is still not tried: only a version that went and came back is.
        (base / "kept.pb").rename(base / "2" / "saved_model.pb")
        place(models / "times3", base / "3")
        client.wait(3)
        assert client.state(2) == "END"

        (base / "2").rename(base / "away")
        shutil.rmtree(base / "3")
        client.wait(3, "END")
        (base / "away").rename(base / "2")
        client.wait(2)
        assert client.factor() == 2.0


def _all_versions(base: Path) -> str:
    file = base.parent / "models.config"
    file.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{base}" '
        'model_platform: "tensorflow" model_version_policy { all {} } } }'
    )
    return str(file)


def test_a_retry_finds_a_version_that_was_completed_meanwhile(models: Path, base: Path) -> None:
    shutil.copytree(models / "times2", base / "2")
    (base / "2" / "saved_model.pb").rename(base / "kept.pb")
    flags = replace(
        _flags(base), max_num_load_retries=1000, monitoring_config_file=_monitoring(base)
    )
    with serving(flags) as client:
        attempts = ":tensorflow:cc:saved_model:load_attempt_count"
        failures = f'{attempts}{{model_path="{base / "2"}",status="fail"}}'
        until(lambda: any(line.startswith(failures) for line in client.metrics()))
        assert client.state(2) == "LOADING"
        assert client.factor() is None
        (base / "kept.pb").rename(base / "2" / "saved_model.pb")
        client.wait(2)
        assert client.factor() == 2.0
        success = f'{attempts}{{model_path="{base / "2"}",status="success"}} 1'
        assert success in client.metrics()


def _monitoring(base: Path) -> str:
    file = base.parent / "monitoring.config"
    file.write_text("prometheus_config { enable: true }")
    return str(file)


def test_a_request_under_way_is_answered_before_its_version_goes(models: Path, base: Path) -> None:
    place(models / "slow", base / "1")
    with serving(_flags(base)) as client:
        client.wait(1)
        answers = []
        request = threading.Thread(
            target=lambda: answers.append(client.predict("m", {"inputs": 40_000}))
        )
        request.start()
        place(models / "times2", base / "2")
        until(lambda: client.state(1) in {"UNLOADING", "END"})
        request.join()
        assert answers[0].status_code == 200
        client.wait(1, "END")


def test_a_request_that_takes_too_long_is_given_up(models: Path, base: Path) -> None:
    place(models / "slow", base / "1")
    with serving(replace(_flags(base), rest_api_timeout_in_ms=50)) as client:
        client.wait(1)
        response = client.predict("m", {"inputs": 100_000_000})
        assert response.status_code == 504
        assert client.predict("m", {"inputs": 1}).status_code == 200


@pytest.mark.parametrize("wait_seconds", [0, -1])
def test_looking_once_or_never(models: Path, base: Path, wait_seconds: int) -> None:
    place(models / "times1", base / "1")
    with serving(replace(_flags(base), file_system_poll_wait_seconds=wait_seconds)) as client:
        if wait_seconds == 0:
            client.wait(1)
        place(models / "times2", base / "2")
        threading.Event().wait(1.5)  # longer than the default poll: nothing is to happen in it
        assert client.state(2) is None
        assert client.state(1) == ("AVAILABLE" if wait_seconds == 0 else None)


def test_only_children_with_whole_numbers_are_versions(models: Path, base: Path) -> None:
    for name in ("v9", "9.5", "partial-9", "_slipway"):
        place(models / "times1", base / name)
    place(models / "times2", base / "007")
    with serving(_flags(base)) as client:
        client.wait(7)
        assert client.versions().keys() == {7}
        assert client.factor() == 2.0


def test_warm_up_requests_run_before_the_version_serves(models: Path, base: Path) -> None:
    place(models / "times1", base / "partial")
    write_warmup(base / "partial", {"x": [[1.0, 2.0]]}, count=3)
    (base / "partial").rename(base / "1")
    with serving(replace(_flags(base), monitoring_config_file=_monitoring(base))) as client:
        client.wait(1)
        count = ":tensorflow:serving:model_warmup_latency_count"
        assert f'{count}{{model_path="{base / "1"}",status="OK"}} 1' in client.metrics()


def test_a_version_whose_warm_up_fails_does_not_serve(models: Path, base: Path) -> None:
    place(models / "times1", base / "partial")
    write_warmup(base / "partial", {"x": [["text", "for"], ["floats", "!"]]})
    (base / "partial").rename(base / "1")
    with serving(replace(_flags(base), max_num_load_retries=0)) as client:
        client.wait(1, "END")
        assert client.versions()[1]["status"]["error_code"] == "INVALID_ARGUMENT"
    with serving(replace(_flags(base), enable_model_warmup=False)) as client:
        client.wait(1)


def test_tflite_is_taken_only_where_preferred_and_present(models: Path, base: Path) -> None:
    place(models / "times1", base / "partial")
    shutil.copy(models / "times2.tflite", base / "partial" / "model.tflite")
    (base / "partial").rename(base / "1")
    with serving(_flags(base)) as client:
        client.wait(1)
        assert client.factor() == 1.0
    with serving(replace(_flags(base), prefer_tflite_model=True)) as client:
        client.wait(1)
        assert client.factor() == 2.0
        # Any batch runs: the interpreter resizes.
        response = client.predict("m", {"inputs": {"x": [[1, 2]] * 5}})
        assert response.json() == {"outputs": [[2.0, 4.0]] * 5}
        found = client.http.get("/v1/models/m/metadata").json()
        signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
        # The next version brings no model.tflite: its SavedModel serves, without a word.
        place(models / "times3", base / "2")
        client.wait(2)
        assert client.factor() == 3.0


def test_a_broken_tflite_model_is_an_error_not_a_reason_to_fall_back(
    models: Path, base: Path
) -> None:
    place(models / "times1", base / "partial")
    (base / "partial" / "model.tflite").write_bytes(b"not a model")
    (base / "partial").rename(base / "1")
    flags = replace(_flags(base), prefer_tflite_model=True, max_num_load_retries=0)
    with serving(flags) as client:
        client.wait(1, "END")
        assert client.versions()[1]["status"]["error_code"] == "INTERNAL"
