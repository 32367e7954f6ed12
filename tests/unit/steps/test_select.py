"""The step select: from the outcomes of the steps before it to the winner and the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slipway.content import file_digest
from slipway.contracts import StepFailure, StepOutcome, StepRequest, StepResult
from slipway.errors import TerminalError
from slipway.evaluation.facts import Benchmark, Evaluation
from slipway.evaluation.golden import Golden, GoldenRequest
from slipway.steps import select
from slipway.steps.base import StepContext
from slipway.workspace import Workspace
from support import judged

if TYPE_CHECKING:
    from slipway.evaluation.facts import Measurement
    from slipway.workspace import Kind


class Race:
    """The outcomes of a build, put together variant by variant."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder / "workspace")
        self.results: dict[str, StepOutcome] = {}
        self.variants: dict[str, Any] = {}
        self.measured: dict[str, Measurement] = {}
        self.gates: dict[str, Any] = {"metrics": {"accuracy": {"floor": 0.9, "largest_drop": 0.02}}}
        self.objective: dict[str, Any] = {"minimise": "latency_p50_ms"}
        self.prefer_tflite_model = True
        self.server = "tensorflow_serving"
        self.server_version = ""
        self.fallback: str | None = None

    def enter(
        self,
        found: Evaluation,
        p50_ms: float = 0.1,
        kind: Kind = "keras",
        *,
        required: bool = False,
        made_details: dict[str, Any] | None = None,
    ) -> None:
        name = found.variant
        with self.workspace.staging() as folder:
            (folder / "made.txt").write_text(name)
            made = self.workspace.keep(folder, kind)
        with self.workspace.staging() as folder:
            found.write(folder / "evaluation.json")
            request = GoldenRequest(body={"instances": [1]}, expected={"predictions": [1.0]})
            golden = Golden(
                model="digits", variant=name, signature_name="serving_default", requests=(request,)
            )
            golden.write(folder / "golden.json")
            validated = self.workspace.keep(folder, "report")
        metrics = {"accuracy": found.metrics["accuracy"].value}
        facts = {"metrics": {"parameters": 300_000.0}, "details": made_details or {}}
        self._add(f"{name}.make", name, artifact=made, **facts)
        self._add(f"{name}.validate", name, artifact=validated, metrics=metrics)
        self.measured[name] = judged.measurement(p50_ms)
        self._contend(name, required=required)

    def fail(self, name: str, *, required: bool = False) -> None:
        failure = StepFailure(
            kind="terminal", message=f"{name}: the op FlexErf cannot be converted", hint="drop it"
        )
        self.results[f"{name}.make"] = StepOutcome(failure=failure)
        self._contend(name, required=required)

    def select(self, folder: Path) -> tuple[dict[str, Any], StepContext]:
        figures = Benchmark(variants=self.measured, failures={}, cores=2, seed=7)
        details = figures.model_dump(mode="json")
        self._add("benchmark", None, details=details)
        folder.mkdir()
        request = StepRequest(
            step="select",
            model="digits",
            config={
                "gates": self.gates,
                "objective": self.objective,
                "prefer_tflite_model": self.prefer_tflite_model,
                "server": self.server,
                "server_version": self.server_version,
                "fallback": self.fallback,
                "variants": self.variants,
            },
            results=self.results,
            workspace=str(self.workspace.root),
        )
        context = StepContext(request, folder, self.workspace)
        return select.run(context).details, context

    def _contend(self, name: str, *, required: bool) -> None:
        chain = [] if name == "original" else [name]
        self.variants[name] = {"made_by": f"{name}.make", "required": required, "chain": chain}

    def _add(self, task_id: str, variant: str | None, **facts: Any) -> None:
        result = StepResult(step=task_id, model="digits", variant=variant, key=task_id, **facts)
        self.results[task_id] = StepOutcome(result=result)


@pytest.fixture
def race(tmp_path: Path) -> Race:
    found = Race(tmp_path)
    found.enter(judged.evaluation("original"), 0.1, required=True)
    return found


def test_the_fastest_that_passed_wins_and_publishing_finds_all_it_needs(
    race: Race, tmp_path: Path
) -> None:
    race.enter(judged.evaluation("lite", 0.975), 0.02, "tflite")
    race.enter(judged.evaluation("pruned", 0.70), 0.01)
    details, context = race.select(tmp_path / "out")
    assert details["winner"] == "lite"
    assert details["winner_artifact"]["kind"] == "tflite"
    assert details["chain"] == ["lite"]
    assert details["metrics"] == {
        "accuracy": 0.975,
        "latency_p50_ms": 0.02,
        "latency_p99_ms": 0.04,
    }
    golden = Path(details["golden"]["uri"])
    assert Golden.model_validate_json(golden.read_text()).variant == "lite"
    assert details["golden"]["digest"] == file_digest(golden)
    verdicts = {row["variant"]: row["verdict"] for row in details["rows"]}
    assert verdicts == {"original": "passed", "lite": "passed", "pruned": "rejected"}
    assert [row["variant"] for row in details["rows"] if row["winner"]] == ["lite"]
    assert Path(details["report"]).read_bytes() == (context.folder / "report.html").read_bytes()


ENGINE = {"backend": "tf_trt", "tensorrt": "8.6.1", "compute_capability": "9.0", "gpu": "a GPU"}


@pytest.mark.parametrize(("accuracy", "passed"), [(0.975, True), (0.70, False)])
def test_publishing_is_told_of_the_fallback_of_engines_that_won(
    race: Race, tmp_path: Path, accuracy: float, *, passed: bool
) -> None:
    race.fallback = "lite"
    race.enter(judged.evaluation("lite", accuracy), 0.05, "tflite")
    engines = {"engine": ENGINE, "max_batch_size": 32}
    race.enter(judged.evaluation("trt", 0.975), 0.01, "saved_model", made_details=engines)
    details, _ = race.select(tmp_path / "out")
    assert (details["winner"], details["engine"], details["max_batch_size"]) == ("trt", ENGINE, 32)
    assert ("fallback" in details) == passed
    if passed:
        assert details["fallback"]["winner"] == "lite"
        assert details["fallback"]["winner_artifact"]["kind"] == "tflite"


def test_a_winner_without_engines_needs_no_fallback(race: Race, tmp_path: Path) -> None:
    race.fallback = "original"
    race.enter(judged.evaluation("lite", 0.975), 0.02, "tflite")
    details, _ = race.select(tmp_path / "out")
    assert details["winner"] == "lite"
    assert "fallback" not in details


def test_tflite_cannot_win_where_the_server_does_not_take_it(race: Race, tmp_path: Path) -> None:
    race.prefer_tflite_model = False
    race.enter(judged.evaluation("lite"), 0.02, "tflite")
    details, _ = race.select(tmp_path / "out")
    assert details["winner"] == "original"
    assert "prefer_tflite_model" in details["rows"][1]["reason"]


def test_onnx_is_judged_and_shown_but_wins_only_where_triton_serves_it(
    race: Race, tmp_path: Path
) -> None:
    race.enter(judged.evaluation("onnx"), 0.02, "onnx")
    details, _ = race.select(tmp_path / "out")
    assert details["winner"] == "original"
    assert details["rows"][1]["verdict"] == "passed"
    assert details["rows"][1]["reason"] == "cannot win: onnx is not served by tensorflow_serving"
    race.server = "triton"
    details, _ = race.select(tmp_path / "triton")
    assert details["winner"] == "onnx"
    assert details["rows"][0]["reason"] == "cannot win: keras is not served by triton"


@pytest.mark.parametrize(("version", "wins"), [("2.17.1-gpu", True), ("2.20.0", False)])
def test_engines_of_tf_trt_win_only_where_the_server_can_load_them(
    race: Race, tmp_path: Path, version: str, wins: bool
) -> None:
    race.server_version = version
    race.enter(
        judged.evaluation("engine", 0.975), 0.02, "saved_model", made_details={"engine": ENGINE}
    )
    details, _ = race.select(tmp_path / "out")
    assert (details["winner"] == "engine") == wins
    if not wins:
        reason = details["rows"][1]["reason"]
        assert reason.startswith("cannot win: TensorFlow Serving 2.20.0 is built without TensorRT")


def test_a_failed_variant_costs_itself_only(race: Race, tmp_path: Path) -> None:
    race.fail("lite")
    details, _ = race.select(tmp_path / "out")
    assert details["winner"] == "original"
    assert details["rows"][1]["verdict"] == "failed"
    assert "FlexErf" in details["rows"][1]["reason"]


def test_a_variant_whose_source_failed_has_failed_too(race: Race, tmp_path: Path) -> None:
    race.fail("pruned")
    race.variants["pruned_int8"] = {
        "made_by": "pruned_int8.tflite",
        "required": False,
        "chain": ["prune", "tflite"],
    }
    details, _ = race.select(tmp_path / "out")
    assert details["rows"][2]["verdict"] == "failed"
    assert "a step before it failed" in details["rows"][2]["reason"]


def test_a_required_variant_that_failed_ends_the_build_and_the_report_stays(
    race: Race, tmp_path: Path
) -> None:
    race.fail("lite", required=True)
    with pytest.raises(TerminalError, match="required variant lite failed") as error:
        race.select(tmp_path / "out")
    assert error.value.subject == "lite"
    report = Path(error.value.details["report"])
    assert "FlexErf" in report.read_text()
    assert json.loads(report.with_name("report.json").read_text())["winner"] is None


def test_an_original_that_is_too_slow_does_not_end_the_build(race: Race, tmp_path: Path) -> None:
    race.gates["latency"] = {"largest_p50_ms": 0.05}
    race.enter(judged.evaluation("lite"), 0.02, "tflite")
    details, _ = race.select(tmp_path / "out")
    assert details["winner"] == "lite"
    assert details["rows"][0]["verdict"] == "rejected"


def test_an_original_below_its_floor_ends_the_build(race: Race, tmp_path: Path) -> None:
    race.gates = {"metrics": {"accuracy": {"floor": 0.99}}}
    with pytest.raises(TerminalError, match=r"original rejected: accuracy 0\.98 is below"):
        race.select(tmp_path / "out")


def test_no_variant_left_is_said_with_the_reason(race: Race, tmp_path: Path) -> None:
    race.gates["latency"] = {"largest_p50_ms": 0.001}
    with pytest.raises(TerminalError, match="no variant can be published") as error:
        race.select(tmp_path / "out")
    assert Path(error.value.details["report"]).is_file()


def test_the_same_outcomes_give_the_same_report(race: Race, tmp_path: Path) -> None:
    race.enter(judged.evaluation("lite"), 0.02, "tflite")
    first, one = race.select(tmp_path / "a")
    second, other = race.select(tmp_path / "b")
    assert first == second
    for name in ("report.html", "report.json"):
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()


def test_a_validation_that_is_gone_is_named(race: Race, tmp_path: Path) -> None:
    race.enter(judged.evaluation("lite"), 0.02, "tflite")
    artifact = race.results["lite.validate"].unwrap().artifact
    assert artifact is not None
    (artifact.path / "evaluation.json").unlink()
    with pytest.raises(TerminalError, match=r"lite: the validation left no evaluation\.json"):
        race.select(tmp_path / "out")


def test_dynamic_range_that_slows_a_network_down_loses_its_latency_gate_by_itself(
    race: Race, tmp_path: Path
) -> None:
    """The figures are those of bench/variants.py for a network of MobileNetV2's size."""
    race.enter(judged.evaluation("original"), 10.917, required=True)
    race.enter(judged.evaluation("lite"), 7.600, "tflite")
    race.enter(judged.evaluation("lite_dynamic"), 17.394, "tflite")
    race.enter(judged.evaluation("lite_int8"), 3.313, "tflite")
    race.gates["latency"] = {"largest_ratio": 1.0}
    details, _ = race.select(tmp_path / "out")
    assert details["winner"] == "lite_int8"
    rows = {row["variant"]: row for row in details["rows"]}
    assert rows["lite"]["verdict"] == "passed"
    assert rows["lite_dynamic"]["verdict"] == "rejected"
    assert rows["lite_dynamic"]["reason"] == "p50 beside the original's 1.59 times is above 1 times"
