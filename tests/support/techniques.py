"""What every technique promises: the suite that each technique's contract test inherits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from slipway.content import tree_digest
from slipway.contracts import StepRequest
from slipway.errors import TerminalError
from slipway.process import run_step
from slipway.registry import STEPS, config_class

if TYPE_CHECKING:
    import numpy as np

    from slipway.contracts import ArtifactRef, StepResult

TINY = Path(__file__).parent / "definitions" / "tiny.py"

# Only what makes an artifact of its kind may be in it: a server loads the folder as it is.
FILES = {
    "keras": {"saved_model", "weights.npz", "architecture.json"},
    "saved_model": {"saved_model"},
    "tflite": {"tflite"},
    "onnx": {"onnx"},
    "tensorrt": {"tensorrt"},
}


def ask(
    step: str,
    workspace: Path,
    *,
    config: dict[str, Any] | None = None,
    definition: Path = TINY,
    source: ArtifactRef | None = None,
    force: bool = False,
) -> StepResult:
    """Run a step in a process of its own, for the variant `tried` of the model `tiny`."""
    request = StepRequest(
        step=step,
        model="tiny",
        variant="tried",
        config=config or {},
        definition=str(definition),
        inputs={"source": source} if source else {},
        seed=3,
        workspace=str(workspace),
        force=force,
    )
    return run_step(request, timeout_seconds=120)


def answers(artifact: ArtifactRef, rows: np.ndarray) -> np.ndarray:
    """What an artifact with the one input `features` and one output answers."""
    from slipway.evaluation.runner import open_runner

    runner = open_runner(artifact, "serving_default", "tried")
    (found,) = runner.predict({"features": rows}).values()
    return found


class TechniqueContract:
    """Subclass it, name the step, its config and one mistake with what the error must say."""

    step: ClassVar[str]
    config: ClassVar[dict[str, Any]]
    mistake: ClassVar[dict[str, Any]]
    complaint: ClassVar[str]

    @pytest.fixture(scope="class")
    @classmethod
    def workspace(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp(cls.step)

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls, trained: ArtifactRef) -> ArtifactRef | None:
        return trained

    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, workspace: Path, source: ArtifactRef | None) -> StepResult:
        return ask(cls.step, workspace, config=cls.config, source=source)

    def test_its_defaults_are_valid(self) -> None:
        config = config_class(self.step)()
        assert config_class(self.step).model_validate(config.model_dump()) == config

    def test_its_artifact_is_of_the_kind_that_the_registry_says(self, made: StepResult) -> None:
        assert made.artifact is not None
        assert made.artifact.kind == STEPS[self.step].produces
        found = {path.name for path in made.artifact.path.iterdir()}
        assert found == FILES[made.artifact.kind]
        assert made.artifact.size_bytes > 0
        assert made.artifact.digest == tree_digest(made.artifact.path)

    def test_the_same_request_gives_the_same_bytes_in_another_process(
        self, made: StepResult, source: ArtifactRef | None, tmp_path: Path
    ) -> None:
        again = ask(self.step, tmp_path, config=self.config, source=source)
        assert not again.reused
        assert made.artifact is not None
        assert again.artifact is not None
        assert again.artifact.digest == made.artifact.digest
        assert again.metrics == made.metrics

    def test_what_is_known_is_not_made_again(
        self, made: StepResult, workspace: Path, source: ArtifactRef | None
    ) -> None:
        again = ask(self.step, workspace, config=self.config, source=source)
        assert again.reused
        assert again.artifact == made.artifact

    def test_a_mistake_is_terminal_and_names_the_variant_and_the_cause(
        self, source: ArtifactRef | None, tmp_path: Path
    ) -> None:
        with pytest.raises(TerminalError, match=self.complaint) as caught:
            ask(self.step, tmp_path, config=self.config | self.mistake, source=source)
        assert "tried" in caught.value.message
        assert caught.value.hint
