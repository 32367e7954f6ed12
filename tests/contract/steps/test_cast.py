from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from slipway.errors import TerminalError
from slipway.workspace import Workspace
from support.techniques import TechniqueContract, ask

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.contracts import ArtifactRef, StepResult


class TestCast(TechniqueContract):
    step = "cast"
    config: ClassVar[dict[str, Any]] = {"precision": "bfloat16", "smallest_weight": 48}
    mistake: ClassVar[dict[str, Any]] = {"smallest_weight": 1000}
    complaint = "no float32 weight has 1000 numbers or more"

    def test_the_signature_stays_as_it_was_and_the_weights_take_half(
        self, made: StepResult, source: ArtifactRef
    ) -> None:
        from slipway.modelling.saved_model import described, read_signatures

        assert made.artifact is not None
        before, after = read_signatures(source.servable), read_signatures(made.artifact.servable)
        assert list(after) == list(before)
        for name, signature in before.items():
            assert described(after[name].inputs) == described(signature.inputs)
            assert described(after[name].outputs) == described(signature.outputs)
        data = "variables/variables.data-00000-of-00001"
        assert _bytes(made, data) < 0.75 * (source.servable / data).stat().st_size
        assert (made.artifact.servable / "assets.extra/tf_serving_warmup_requests").is_file()

    def test_answers_change_by_no_more_than_the_type_is_coarse(
        self, made: StepResult, source: ArtifactRef
    ) -> None:
        import numpy as np
        import tensorflow as tf

        assert made.artifact is not None
        asked = tf.constant(np.random.default_rng(0).normal(size=(50, 4)), tf.float32)
        answers = [
            tf.saved_model.load(str(each.servable)).signatures["serving_default"](features=asked)
            for each in (source, made.artifact)
        ]
        difference = np.abs(answers[0]["classes"] - answers[1]["classes"]).max()
        assert 0 < difference < 0.02  # bfloat16 keeps 8 bits of each weight
        assert 0 < made.metrics["largest_cast_error"] <= 2**-8


def test_a_weight_that_float16_cannot_hold_is_named(tmp_path: Path) -> None:
    from support.tiny_variants import Linear, saved_model

    module = Linear()
    module.weights.assign(1e5 * module.weights)
    source = saved_model(Workspace(tmp_path), module)
    with pytest.raises(TerminalError, match="matmul is as large as 200000, which float16") as told:
        ask("cast", tmp_path, config={"smallest_weight": 1}, source=source)
    assert "bfloat16" in told.value.hint
    wide = {"precision": "bfloat16", "smallest_weight": 1}
    assert ask("cast", tmp_path, config=wide, source=source).metrics["cast_weights"] == 2


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_model_with_texts_and_lookup_tables_answers_as_before(
    precision: str, tmp_path: Path
) -> None:
    import numpy as np
    import tensorflow as tf

    source = _model_with_a_table(tmp_path / "source")
    workspace = Workspace(tmp_path / "workspace")
    with workspace.staging() as folder:
        source.rename(folder / "saved_model")
        artifact = workspace.keep(folder, "saved_model")
    made = ask("cast", tmp_path / "workspace", config={"precision": precision}, source=artifact)
    assert made.artifact is not None
    answers = [
        tf.saved_model.load(str(each.servable)).signatures["serving_default"](
            word=tf.constant(["b", "unknown", "a"])
        )["row"]
        for each in (artifact, made.artifact)
    ]
    assert np.allclose(answers[0], answers[1], atol=2**-7)


def _model_with_a_table(folder: Path) -> Path:
    import tensorflow as tf

    class Rows(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            words = tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2])
            self.table = tf.lookup.StaticHashTable(words, default_value=0)
            self.rows = tf.Variable(tf.random.stateless_uniform([3, 64], [1, 2]))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "word")])
        def serve(self, word: Any) -> dict[str, Any]:
            return {"row": tf.gather(self.rows, self.table.lookup(word))}

    module = Rows()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


def _bytes(made: StepResult, name: str) -> int:
    assert made.artifact is not None
    return (made.artifact.servable / name).stat().st_size
