from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from slipway.errors import TerminalError
from support.techniques import TINY, TechniqueContract, ask

if TYPE_CHECKING:
    from pathlib import Path


class TestTrain(TechniqueContract):
    step = "train"
    config: ClassVar[dict[str, Any]] = {"epochs": 2}
    mistake: ClassVar[dict[str, Any]] = {"learning_rate": 1e30}
    complaint = r"loss is (nan|inf) in epoch \d of 2"

    @pytest.fixture(scope="class")
    @classmethod
    def source(cls) -> None:
        return None


def test_a_training_loop_of_the_users_own_is_used_and_its_figures_are_reported(
    tmp_path: Path,
) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        TINY.read_text("utf-8")
        + "\n\ndef train(model, train, validation, config):\n"
        + "    model.layers[-1].bias.assign([float(config['options']['bias'])] * 3)\n"
        + "    return {'train_loss': 0.25}\n",
        "utf-8",
    )
    result = ask("train", tmp_path / "w", config={"options": {"bias": 7}}, definition=own)
    assert result.metrics["train_loss"] == 0.25


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("np.eye(3, 4)", "np.eye(3, 5)", "cannot be broadcast|could not be broadcast"),
        ('{"features": features', '{"feature": features', "no input 'features'.*gives 'feature'"),
        ("features.astype(np.float32)}", "features[:, :3]}", r"'features'.*\[\?, 3\].*\[\?, 4\]"),
        ("import tf_keras ", "import keras as tf_keras ", "Keras 3|not a tf_keras model"),
    ],
    ids=["raises", "name", "shape", "keras-3"],
)
def test_a_definition_that_cannot_be_used_is_terminal_and_named(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    wrong = tmp_path / "wrong.py"
    text = TINY.read_text("utf-8")
    assert old in text
    wrong.write_text(text.replace(old, new), "utf-8")
    with pytest.raises(TerminalError, match=complaint) as caught:
        ask("train", tmp_path / "w", definition=wrong)
    assert "wrong.py" in caught.value.message
