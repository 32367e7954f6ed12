from __future__ import annotations

import pytest

from slipway.errors import TerminalError
from slipway.serving.server.flags import parse_flags

MODEL = "--model_base_path=/models/m"


def test_defaults_are_those_of_tensorflow_serving() -> None:
    flags = parse_flags([MODEL])
    assert flags.port == 8500
    assert flags.rest_api_port == 0
    assert flags.rest_api_timeout_in_ms == 30_000
    assert flags.model_name == "default"
    assert flags.file_system_poll_wait_seconds == 1
    assert flags.model_config_file_poll_wait_seconds == 0
    assert flags.max_num_load_retries == 5
    assert flags.load_retry_interval_micros == 60_000_000
    assert flags.enable_model_warmup is True
    assert flags.prefer_tflite_model is False
    assert flags.allow_version_labels_for_unavailable_models is False


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("--prefer_tflite_model", True),
        ("--prefer_tflite_model=true", True),
        ("--prefer_tflite_model=1", True),
        ("--prefer_tflite_model=False", False),
        ("--prefer_tflite_model=0", False),
    ],
)
def test_booleans_are_bare_or_spelled_out(argument: str, expected: bool) -> None:
    assert parse_flags([MODEL, argument]).prefer_tflite_model is expected


def test_values_are_read_by_type_and_negative_numbers_are_numbers() -> None:
    flags = parse_flags([MODEL, "--rest_api_port=8501", "--file_system_poll_wait_seconds=-1"])
    assert (flags.rest_api_port, flags.file_system_poll_wait_seconds) == (8501, -1)


def test_an_unknown_flag_names_the_nearest_one() -> None:
    with pytest.raises(TerminalError) as raised:
        parse_flags([MODEL, "--rest_api_prot=8501"])
    assert "--rest_api_prot" in raised.value.message
    assert "--rest_api_port" in raised.value.hint
    assert raised.value.subject == "rest_api_prot"


@pytest.mark.parametrize(
    ("arguments", "subject"),
    [
        (["--rest_api_port=http"], "rest_api_port"),
        (["--rest_api_port"], "rest_api_port"),
        (["--prefer_tflite_model=maybe"], "prefer_tflite_model"),
        (["--rest_api_port", "8501"], "rest_api_port"),
        (["8501"], "8501"),
        (["--ignored=x"], "ignored"),
    ],
)
def test_a_wrong_flag_is_one_error_about_that_flag(arguments: list[str], subject: str) -> None:
    with pytest.raises(TerminalError) as raised:
        parse_flags([MODEL, *arguments])
    assert raised.value.subject == subject


def test_without_a_model_there_is_nothing_to_serve() -> None:
    with pytest.raises(TerminalError, match="no model to serve"):
        parse_flags(["--rest_api_port=8501"])


def test_flags_that_only_the_real_server_acts_on_are_kept_for_the_log() -> None:
    assert parse_flags([MODEL, "--enable_batching=true"]).ignored == ("enable_batching",)
