from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from slipway.errors import TerminalError
from support.techniques import TechniqueContract, ask

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.contracts import ArtifactRef


class TestQuantize(TechniqueContract):
    step = "quantize"
    config: ClassVar[dict[str, Any]] = {"epochs": 1}
    mistake: ClassVar[dict[str, Any]] = {"layers": ["klasses"]}
    complaint = "no layer 'klasses'; did you mean 'classes'"


def test_the_zeros_of_a_pruned_model_are_kept(trained: ArtifactRef, tmp_path: Path) -> None:
    config = {"final_sparsity": 0.5, "epochs": 2, "frequency_steps": 1}
    pruned = ask("prune", tmp_path, config=config, source=trained).artifact
    config = {"epochs": 2, "preserve_sparsity": True}
    result = ask("quantize", tmp_path, config=config, source=pruned)
    assert result.details["sparsity_by_kernel"] == {"hidden": 0.5, "classes": 0.5}


def test_keeping_zeros_where_there_are_none_is_terminal(
    trained: ArtifactRef, tmp_path: Path
) -> None:
    with pytest.raises(TerminalError, match="no zeros to keep"):
        ask("quantize", tmp_path, config={"preserve_sparsity": True}, source=trained)


def test_no_keras_technique_follows_quantize(quantized: ArtifactRef, tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="cannot work on a model that was trained with quant"):
        ask("prune", tmp_path, source=quantized)
