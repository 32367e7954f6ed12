from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.definition import Examples, load_definition
from slipway.errors import TerminalError
from slipway.modelling import keras, training
from support.definition_text import context_for
from support.techniques import TINY

if TYPE_CHECKING:
    from pathlib import Path


def _fit(
    tmp_path: Path, train: Examples, validation: Examples, learning_rate: float = 0.01
) -> dict[str, float]:
    model = keras.build(load_definition(TINY), "build_model")
    model.optimizer.learning_rate = learning_rate
    context = context_for(tmp_path, "train")
    return training.fit(context, model, train, validation, epochs=2, batch_size=32)


def test_every_epoch_is_shown_and_the_last_losses_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    definition = load_definition(TINY)
    losses = _fit(tmp_path, definition.load_data("train"), definition.load_data("validation"))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == ["1/2", "2/2"]
    assert f"val_loss {losses['validation_loss']:.4f}" in lines[-1]


def test_a_loss_that_is_not_a_number_names_the_epoch(tmp_path: Path) -> None:
    train = load_definition(TINY).load_data("train")
    with pytest.raises(TerminalError, match=r"tried: loss is (nan|inf) in epoch 1 of 2") as caught:
        _fit(tmp_path, train, train, learning_rate=1e30)
    assert caught.value.details == {"epoch": 1}


def test_labels_that_do_not_fit_the_loss_are_terminal(tmp_path: Path) -> None:
    train = load_definition(TINY).load_data("train")
    wrong = Examples(train.inputs, train.labels + 5)
    with pytest.raises(TerminalError, match=r"tried: Keras cannot train.*valid range"):
        _fit(tmp_path, wrong, train)


def test_a_weight_that_is_not_finite_is_named(tmp_path: Path) -> None:
    model = keras.build(load_definition(TINY), "build_model")
    model.layers[-1].bias.assign([0.0, float("inf"), 0.0])
    with pytest.raises(TerminalError, match="the weight classes/bias:0 is not finite"):
        training.require_finite_weights(context_for(tmp_path, "train"), model)
