from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from pydantic import ValidationError

from slipway.content import tree_digest
from slipway.contracts import StepRequest, StepResult
from slipway.errors import TerminalError
from slipway.process import run_step
from slipway.steps.import_saved_model import ImportConfig
from support.planted_models import plant
from support.techniques import TechniqueContract

if TYPE_CHECKING:
    from collections.abc import Sequence

MODELS = Path(__file__).parents[3] / "include" / "models"
DEFINITION = MODELS / "breast_cancer.py"
EXPORTED = MODELS / "breast_cancer" / "saved_model"


def bring(
    workspace: Path,
    *,
    folder: Path = EXPORTED,
    digest: str | None = None,
    signature: str = "serving_default",
    allow: Sequence[str] = (),
) -> StepResult:
    config = {
        "saved_model": str(folder),
        "saved_model_digest": digest or tree_digest(folder),
        "signature": signature,
        "allow_operations": list(allow),
    }
    request = StepRequest(
        step="import",
        model="breast_cancer",
        variant="tried",
        config=config,
        definition=str(DEFINITION),
        workspace=str(workspace),
    )
    return run_step(request, timeout_seconds=120)


class TestImport(TechniqueContract):
    step = "import"
    config: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls) -> None:
        return None

    @pytest.fixture(scope="class")
    @classmethod
    def made(cls, workspace: Path) -> StepResult:
        return bring(workspace)

    def test_its_defaults_are_valid(self) -> None:
        ImportConfig(saved_model="folder", saved_model_digest="0" * 64)
        with pytest.raises(ValidationError, match="saved_model_digest"):
            ImportConfig(saved_model="folder")  # type: ignore[call-arg]  # that is the mistake

    def test_the_same_request_gives_the_same_bytes_in_another_process(
        self, made: StepResult, source: None, tmp_path: Path
    ) -> None:
        del source
        again = bring(tmp_path)
        assert made.artifact is not None
        assert again.artifact is not None
        assert again.artifact.digest == made.artifact.digest

    def test_what_is_known_is_not_made_again(
        self, made: StepResult, workspace: Path, source: None
    ) -> None:
        del source
        assert bring(workspace).reused
        assert not made.reused

    def test_a_mistake_is_terminal_and_names_the_variant_and_the_cause(
        self, source: None, tmp_path: Path
    ) -> None:
        del source
        with pytest.raises(TerminalError, match=r"tried: .* is not the one that this run began"):
            bring(tmp_path, digest="0" * 64)

    def test_nothing_that_was_exported_is_changed(self, made: StepResult) -> None:
        assert made.artifact is not None
        for file in EXPORTED.rglob("*"):
            if file.is_file():
                kept = made.artifact.servable / file.relative_to(EXPORTED)
                assert kept.read_bytes() == file.read_bytes()
        assert (made.artifact.servable / "assets.extra/tf_serving_warmup_requests").is_file()
        assert made.metrics["parameters"] == 30 * 64 + 64 + 64 + 1


def test_a_signature_that_is_not_there_is_terminal_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="did you mean 'serving_default'"):
        bring(tmp_path, signature="serving_defalt")


def test_a_model_that_could_do_harm_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    plant(tmp_path, "writes")
    with pytest.raises(TerminalError, match=r"refused and was not loaded: WriteFile \(node"):
        bring(tmp_path / "workspace", folder=tmp_path / "writes")
    # Allowed, it is loaded, asked, and found to fit other data.
    with pytest.raises(TerminalError) as caught:
        bring(tmp_path / "workspace", folder=tmp_path / "writes", allow=["WriteFile"])
    assert "WriteFile" not in caught.value.message
    assert not (tmp_path / "secret.txt").exists()
