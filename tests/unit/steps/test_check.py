from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from slipway.contracts import StepRequest
from slipway.errors import TerminalError, TransientError
from slipway.local.processes import free_port
from slipway.steps.base import StepContext
from slipway.steps.check import check_bucket, check_definition, run
from slipway.workspace import Workspace
from support.specs import SMALLEST

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


def test_what_the_doctor_finds_blocks_before_any_work_or_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = yaml.safe_load(SMALLEST.format(model="tiny"))
    spec |= {
        "publish": {"base_uri": f"file://{tmp_path}/bucket"},
        "variants": {"engine": {"required": True, "tensorrt": {"backend": "tf_trt"}}},
    }
    with pytest.raises(TerminalError, match=r"variants.engine: .* cannot load engines of TF-TRT"):
        run(context(tmp_path, spec))
    spec["variants"]["engine"]["required"] = False
    details = run(context(tmp_path, spec)).details
    assert any("tf-trt-newer-server" in finding for finding in details["findings"])
    assert "the doctor: variants.engine: " in capsys.readouterr().out


def test_the_doctor_sees_what_lies_in_the_bucket(tmp_path: Path) -> None:
    spec = yaml.safe_load(SMALLEST.format(model="tiny"))
    spec |= {
        "publish": {"base_uri": f"file://{tmp_path}/bucket"},
        "serve": {"server": "triton"},
        "variants": {"graph": {"onnx": {}}},
    }
    (tmp_path / "bucket" / "tiny" / "0001").mkdir(parents=True)
    (tmp_path / "bucket" / "tiny" / "0001" / "model.onnx").touch()
    with pytest.raises(TerminalError, match=r"Triton ignores .* 0001"):
        run(context(tmp_path, spec))


def context(folder: Path, spec: dict[str, Any]) -> StepContext:
    definition = folder / "digits.py"
    definition.write_text("def load_data(split): ...\n")
    (folder / "bucket").mkdir(exist_ok=True)
    request = StepRequest(
        step="check",
        model="tiny",
        config=spec["publish"] | {"metrics": ["accuracy"]},
        definition=str(definition),
        parameters={"spec": spec},
        workspace=str(folder / "workspace"),
    )
    return StepContext(request, folder, Workspace(folder / "workspace"))
