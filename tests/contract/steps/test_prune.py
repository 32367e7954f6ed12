from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from support.techniques import TechniqueContract, ask

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.contracts import ArtifactRef


class TestPrune(TechniqueContract):
    step = "prune"
    config: ClassVar[dict[str, Any]] = {"final_sparsity": 0.5, "epochs": 3, "frequency_steps": 2}
    mistake: ClassVar[dict[str, Any]] = {"layers": ["hiden"]}
    complaint = "no layer 'hiden'; did you mean 'hidden'"


def test_only_the_named_layer_is_pruned_at_once_by_a_constant_schedule(
    trained: ArtifactRef, tmp_path: Path
) -> None:
    config = {"schedule": "constant", "final_sparsity": 0.75, "epochs": 1, "layers": ["hidden"]}
    result = ask("prune", tmp_path, config=config | {"frequency_steps": 1}, source=trained)
    assert result.details["sparsity_by_kernel"] == {"hidden/kernel:0": 0.75}
    import numpy as np

    assert result.artifact is not None
    with np.load(result.artifact.path / "weights.npz") as weights:
        assert np.mean(weights["arr_0"] == 0) == 0.75
        assert np.all(weights["arr_2"] != 0)
