from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.modelling.calibration import load_calibration
from support.definition_text import written

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.modelling.calibration import Calibration

TRAINING = """
import numpy as np
from slipway.definition import Examples
VALUES = np.linspace(-1.0, 1.0, 4000, dtype="float32").reshape(1000, 4)
def load_data(split):
    return Examples({"x": VALUES}, np.zeros(1000))
"""
OWN = (
    TRAINING
    + """
def calibration_data():
    return Examples({"x": DATA}, np.zeros(len(DATA)))
"""
)


def calibration(folder: Path, text: str, count: int = 200) -> Calibration:
    import tensorflow as tf

    from slipway.modelling.saved_model import Signature

    inputs: dict[str, Any] = {"x": tf.TensorSpec([None, 4], tf.float32, "x")}
    return load_calibration("v", written(folder, text), Signature("s", inputs, {}), count)


def test_examples_are_spread_over_the_whole_training_split(tmp_path: Path) -> None:
    found = calibration(tmp_path, TRAINING)
    assert len(found) == 200
    assert (found.examples["x"].min(), found.examples["x"].max()) == (-1.0, 1.0)
    assert found.remarks == ()
    singles = list(found.single({"x": None}))
    assert [single["x"].shape for single in singles] == [(1, 4)] * 200


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ("VALUES[:0]", "'x' is empty"),
        ("np.full((200, 4), 0.5, 'float32')", "'x' is constant, 0.5 everywhere"),
        ("np.repeat(VALUES[:1], 200, 0)", "'x' holds the same example again and again"),
        ("np.where(VALUES > 0.9, np.nan, VALUES)", "'x' holds NaN or infinite numbers"),
    ],
)
def test_data_of_which_no_range_can_be_learned_is_refused(
    tmp_path: Path, values: str, complaint: str
) -> None:
    with pytest.raises(TerminalError, match=complaint) as caught:
        calibration(tmp_path, OWN.replace("DATA", values))
    assert "calibration_data()" in caught.value.hint


@pytest.mark.parametrize(
    ("values", "remark"),
    [
        ("VALUES[[*range(0, 1000, 53), -1]]", "only 20 examples to calibrate with"),
        ("0.5 * VALUES", r"50% of the training values of 'x' lie outside .* -0.5 to 0.5"),
        ("2 * VALUES", r"50% of the calibration values of 'x' lie outside of the training range"),
    ],
)
def test_data_that_is_poor_is_taken_and_said_to_be_so(
    tmp_path: Path, values: str, remark: str
) -> None:
    import re

    [said] = calibration(tmp_path, OWN.replace("DATA", values), 1000).remarks
    assert re.search(remark, said)


def test_what_is_no_examples_is_told_with_its_type(tmp_path: Path) -> None:
    text = TRAINING + "def calibration_data():\n    return VALUES\n"
    with pytest.raises(TerminalError, match="returned ndarray, not Examples"):
        calibration(tmp_path, text)
