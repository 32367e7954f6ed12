"""Every example model as ONNX: parity within the tolerance, float16 and int8 within the gates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slipway.content import tree_digest
from slipway.contracts import StepRequest
from slipway.evaluation.facts import EVALUATION_FILE, Evaluation
from slipway.evaluation.limits import VariantFacts, broken_limits
from slipway.process import run_step
from slipway.spec.loader import load_spec
from slipway.steps import onnx, validate
from slipway.steps.base import StepContext
from slipway.workspace import Workspace

if TYPE_CHECKING:
    from slipway.contracts import ArtifactRef
    from slipway.spec.model import ModelSpec
    from slipway.steps.base import StepOutput

ROOT = Path(__file__).parents[3]
PRECISIONS = ("float32", "float16", "int8")


class Example:
    """An example spec, its original, and the steps that follow in this process."""

    def __init__(self, name: str, folder: Path) -> None:
        self.file = ROOT / "dags" / "models" / f"{name}.yaml"
        self.spec: ModelSpec = load_spec(self.file)
        self.workspace = Workspace(folder)
        self.original = self._make_original()

    def convert(self, precision: str) -> tuple[StepOutput, ArtifactRef]:
        config = onnx.OnnxConfig(precision=precision, signature=self.spec.signature)  # type: ignore[arg-type]  # one of PRECISIONS
        with self.workspace.staging() as folder:
            output = onnx.run(self._context("onnx", config, folder, source=self.original))
            return output, self.workspace.keep(folder, "onnx")

    def evaluate(self, variant: ArtifactRef) -> Evaluation:
        config = validate.ValidateConfig(
            metrics=tuple(sorted(self.spec.gates.metrics)), signature=self.spec.signature
        )
        inputs = {"variant": variant, "original": self.original}
        with self.workspace.staging() as folder:
            validate.run(self._context("validate", config, folder, **inputs))
            return Evaluation.model_validate_json((folder / EVALUATION_FILE).read_text("utf-8"))

    def _make_original(self) -> ArtifactRef:
        step, config = "train", self.spec.train.model_dump(mode="json")
        if self.spec.saved_model:
            brought = (self.file.parent / self.spec.saved_model).resolve()
            step, config = (
                "import",
                {
                    "saved_model": str(brought),
                    "saved_model_digest": tree_digest(brought),
                    "signature": self.spec.signature,
                },
            )
        found = run_step(self._request(step, config), timeout_seconds=300).artifact
        assert found is not None
        return found

    def _context(self, step: str, config: Any, folder: Path, **inputs: Any) -> StepContext:
        request = self._request(step, config.model_dump(mode="json"), inputs)
        return StepContext(request, folder, self.workspace)

    def _request(
        self, step: str, config: dict[str, Any], inputs: dict[str, ArtifactRef] | None = None
    ) -> StepRequest:
        return StepRequest(
            step=step,
            model=self.spec.model,
            variant="tried",
            config=config,
            definition=str(ROOT / "include" / "models" / f"{self.spec.definition}.py"),
            inputs=inputs or {},
            seed=self.spec.seed,
            workspace=str(self.workspace.root),
        )


@pytest.fixture(scope="module", params=["digits", "diabetes", "breast_cancer"])
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Example:
    return Example(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_example_keeps_its_answers_and_its_gates(example: Example, precision: str) -> None:
    output, made = example.convert(precision)
    assert output.details["parity_batches"].startswith("1, 2, 5, ")
    assert all(facts["shape"][0] == -1 for facts in output.details["inputs"].values())
    found = example.evaluate(made)
    print(f"{example.spec.model} {precision}: {found.largest_difference:.3g}")  # noqa: T201
    if precision == "float32":
        # The step has refused what is beyond its tolerance already, on other examples.
        assert output.metrics["parity_largest_difference"] < 1e-4
        assert found.agreement == 1
    assert found.other_interface is None
    assert (found.server.answered_by, found.server.requests) == ("onnxruntime", 8)
    facts = VariantFacts("tried", evaluation=found)
    assert [reason.text for reason in broken_limits(facts, None, example.spec.gates)] == []
