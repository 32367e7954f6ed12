from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError, TransientError
from slipway.local.processes import free_port
from slipway.steps.check import check_bucket, check_definition

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text",
    [
        "def load_data(split): ...",
        "from elsewhere import load_data",
        "from elsewhere import other as load_data",
        "load_data = print",
        "from elsewhere import *",
    ],
)
def test_a_definition_with_data_passes(tmp_path: Path, text: str) -> None:
    file = tmp_path / "digits.py"
    file.write_text(f"import a_module_that_is_not_installed\n{text}\n")
    check_definition(file)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("def load_dat(split): ...", "defines no function load_data"),
        ("x = 1\ndef load_data(split:", "digits.py:2 is no Python"),
        (None, "cannot be read"),
    ],
)
def test_a_broken_definition_is_terminal(tmp_path: Path, text: str | None, complaint: str) -> None:
    file = tmp_path / "digits.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(TerminalError, match=complaint) as caught:
        check_definition(file)
    assert caught.value.subject == str(file)


def test_a_folder_that_can_be_written_passes_and_stays_empty(tmp_path: Path) -> None:
    check_bucket(f"file://{tmp_path}")
    assert [path for path in tmp_path.rglob("*") if path.name[0] != "."] == []


def test_a_dead_endpoint_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anybody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
    started = time.monotonic()
    with pytest.raises(TransientError):
        check_bucket("s3://bucket")
    assert time.monotonic() - started < 60
