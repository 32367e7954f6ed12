"""An accuracy loss that one layer makes: found in int8, and repaired by mixed precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.contracts import StepOutcome, StepRequest
from slipway.process import run_step
from support.techniques import TINY, ask

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.contracts import ArtifactRef, StepResult

PLANTED = TINY.with_name("planted.py")
GATES = {"metrics": {"accuracy": {"largest_drop": 0.02}}}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module")
def original(workspace: Path) -> StepResult:
    return ask("train", workspace, definition=PLANTED)


@pytest.fixture(scope="module")
def int8(workspace: Path, original: StepResult) -> StepResult:
    return _convert(workspace, original, {"precision": "int8"})


def test_the_layer_that_loses_most_is_named_first(int8: StepResult) -> None:
    worst = int8.details["layer_errors"][0]
    assert worst["layer"] == "hidden"
    assert worst["error"] > 0.5
    # Its output has the range that integers cannot bear, so that what reads it stays float too.
    assert worst["keep_float"] == ["hidden", "classes"]


def test_the_gate_names_the_layer_and_mixed_precision_keeps_the_limit(
    workspace: Path, original: StepResult, int8: StepResult
) -> None:
    repair = {"precision": "int8", "keep_float": int8.details["layer_errors"][0]["keep_float"]}
    mixed = _convert(workspace, original, repair)
    verdicts = _judge(workspace, original, {"int8": int8, "mixed": mixed})
    assert verdicts["int8"]["verdict"] == "rejected"
    assert verdicts["int8"]["drop"] > 0.1
    assert "the conversion loses most in hidden" in verdicts["int8"]["reason"]
    assert "keep_float: [hidden, classes]" in verdicts["int8"]["reason"]
    assert verdicts["mixed"]["verdict"] == "passed"
    assert mixed.details["layer_errors"] == []
    assert mixed.details["operations"]["QUANTIZE"] == 1  # the rest is integers still


def test_a_recipe_of_literts_quantizer_is_located_and_repaired_as_well(
    workspace: Path, original: StepResult
) -> None:
    lost = _convert(workspace, original, {"recipe": "static_wi8_ai8"})
    worst = lost.details["layer_errors"][0]
    assert worst["layer"] == "hidden"
    repair = {"recipe": "static_wi8_ai8", "keep_float": worst["keep_float"]}
    assert _convert(workspace, original, repair).details["layer_errors"] == []


def _convert(workspace: Path, original: StepResult, config: dict[str, Any]) -> StepResult:
    source = _artifact(original)
    return ask("tflite", workspace, config=config, definition=PLANTED, source=source)


def _judge(
    workspace: Path, original: StepResult, variants: dict[str, StepResult]
) -> dict[str, dict[str, Any]]:
    """Validate and select as a build does; the row of each variant."""
    made = {"original": original, **variants}
    results = {f"{name}.make": StepOutcome(result=result) for name, result in made.items()}
    for name, result in made.items():
        request = StepRequest(
            step="validate",
            model="planted",
            variant=name,
            config={"metrics": ["accuracy"]},
            definition=str(PLANTED),
            inputs={"variant": _artifact(result), "original": _artifact(original)},
            workspace=str(workspace),
        )
        results[f"{name}.validate"] = StepOutcome(result=run_step(request, timeout_seconds=120))
    select = StepRequest(
        step="select",
        model="planted",
        config={
            "gates": GATES,
            "objective": {"maximise": "accuracy"},
            "prefer_tflite_model": True,
            "variants": {
                name: {"made_by": f"{name}.make", "required": name == "original", "chain": []}
                for name in made
            },
        },
        results=results,
        workspace=str(workspace),
    )
    rows = run_step(select, timeout_seconds=120).details["rows"]
    return {row["variant"]: row for row in rows}


def _artifact(result: StepResult) -> ArtifactRef:
    assert result.artifact is not None
    return result.artifact
