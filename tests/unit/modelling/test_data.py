from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import TerminalError
from slipway.modelling.data import load_split
from support.definition_text import written

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.definition import Definition

TEXT = """
import numpy as np
from slipway.definition import Examples
INPUTS = {"image": np.zeros((5, 4, 4)), "unit": np.array([["mm"]] * 5)}
def load_data(split):
    return Examples(INPUTS, np.zeros(5))
"""


@pytest.fixture
def definition(tmp_path: Path) -> Definition:
    return written(tmp_path, TEXT)


def specs(**wanted: tuple[list[int | None], str]) -> dict[str, Any]:
    import tensorflow as tf

    return {name: tf.TensorSpec(shape, dtype) for name, (shape, dtype) in wanted.items()}


def test_inputs_get_the_dtype_of_the_signature_and_text_stays_text(definition: Definition) -> None:
    wanted = specs(image=([None, 4, 4], "float32"), unit=([None, 1], "string"))
    inputs = load_split(definition, "train", wanted).inputs
    assert inputs["image"].dtype == "float32"
    assert inputs["unit"].dtype == object


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (([None, 4, 5], "float32"), r"input 'image' has the shape \[\?, 4, 4\].*\[\?, 4, 5\]"),
        (([None, 4, 4], "string"), "input 'image' has dtype float64, the model wants string"),
    ],
)
def test_what_does_not_fit_is_named_with_both_sides(
    definition: Definition, image: tuple[list[int | None], str], message: str
) -> None:
    with pytest.raises(TerminalError, match=message):
        load_split(definition, "test", specs(image=image, unit=([None, 1], "string")))


def test_a_missing_and_a_superfluous_input_are_named(definition: Definition) -> None:
    unit = ([None, 1], "string")
    with pytest.raises(TerminalError, match=r"no input 'images'.*it gives 'image'"):
        load_split(definition, "train", specs(images=([None, 4, 4], "float32"), unit=unit))
    with pytest.raises(TerminalError, match="input 'image', which the model does not have"):
        load_split(definition, "train", specs(unit=unit))


@settings(deadline=None, max_examples=40)
@given(
    given_shape=st.lists(st.integers(1, 3), max_size=3),
    wanted=st.lists(st.none() | st.integers(1, 3), max_size=3),
)
def test_a_shape_fits_exactly_if_every_fixed_size_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, given_shape: list[int], wanted: list[int | None]
) -> None:
    import numpy as np

    definition = written(tmp_path_factory.mktemp("shapes"), TEXT)
    definition.module.INPUTS = {"image": np.zeros((5, *given_shape))}  # type: ignore[attr-defined]
    fits = len(given_shape) == len(wanted) and all(
        size in (None, found) for found, size in zip(given_shape, wanted, strict=True)
    )
    if fits:
        load_split(definition, "train", specs(image=([None, *wanted], "float32")))
    else:
        with pytest.raises(TerminalError, match="'image'"):
            load_split(definition, "train", specs(image=([None, *wanted], "float32")))
