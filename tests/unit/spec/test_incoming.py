from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.errors import TerminalError
from slipway.spec.loader import SpecError, load_spec
from slipway.spec.plan import plan_build
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path

DROPPED = "incoming: {uri: 's3://drops/tiny', optimise: false}\n"
VARIANTS = "variants: {lite: {tflite: {precision: float32}}}\n"


def test_a_model_that_is_dropped_is_imported_and_needs_no_saved_model(tmp_path: Path) -> None:
    spec = load_spec(write_spec(tmp_path, extra="incoming: {uri: 's3://drops/tiny'}\n" + VARIANTS))
    assert spec.imported
    assert spec.artifact_kind("original") == "saved_model"
    ids = [step.task_id for step in plan_build(spec)]
    assert ids[:3] == ["check", "original.import", "lite.tflite"]


def test_what_stays_as_it_is_goes_straight_to_validation(tmp_path: Path) -> None:
    spec = load_spec(write_spec(tmp_path, extra=DROPPED + VARIANTS))
    assert [step.task_id for step in plan_build(spec)] == [
        "check",
        "original.import",
        "original.validate",
        "benchmark",
        "select",
        "publish",
    ]


@pytest.mark.parametrize(
    ("uri", "connection"),
    [("gs://drops/tiny", "google_cloud_default"), ("s3://drops/tiny", "aws_default")],
)
def test_the_connection_follows_the_cloud(tmp_path: Path, uri: str, connection: str) -> None:
    spec = load_spec(write_spec(tmp_path, extra=f"incoming: {{uri: '{uri}'}}\n"))
    assert spec.incoming is not None
    assert spec.incoming.connection == connection


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{optimise: true}", "incoming.uri: give the place where models are dropped"),
        ("{uri: 's3://models/tiny/in'}", "overlaps s3://models/tiny"),
        ("{uri: 's3://models'}", "overlaps s3://models/tiny"),
        ("{uri: 'http://models'}", "incoming.uri"),
        ("{uri: 's3://drops/x', marker: '../done'}", "incoming.marker"),
        ("{uri: 's3://drops/x', allow_operations: ['Read File']}", "incoming.allow_operations"),
    ],
)
def test_a_place_that_cannot_be_is_refused(tmp_path: Path, given: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_spec(write_spec(tmp_path, extra=f"incoming: {given}\n"))


def test_a_technique_that_needs_a_keras_model_cannot_work_on_a_dropped_one(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="needs a Keras model, but this spec imports"):
        load_spec(write_spec(tmp_path, extra=DROPPED + "variants: {small: {prune: {}}}\n"))
