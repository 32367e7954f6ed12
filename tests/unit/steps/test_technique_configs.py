from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from slipway.steps.prune import PruneConfig, _schedule
from slipway.steps.tflite import TFLiteConfig


@pytest.mark.parametrize(
    ("cls", "values", "complaint"),
    [
        (PruneConfig, {"final_sparsity": 1.0}, "less than 1"),
        (PruneConfig, {"initial_sparsity": 0.9, "final_sparsity": 0.5}, "larger than final"),
        (PruneConfig, {"epochs": 2, "begin_epoch": 2}, "leaves no epoch of 2"),
        (PruneConfig, {"epochs": 2, "end_epoch": 3}, "end_epoch 3 is not between"),
        (TFLiteConfig, {"integer_io": True}, "int8 or int16x8, or a static recipe, not float32"),
        (TFLiteConfig, {"integer_io": True, "recipe": "dynamic_wi8_afp32"}, "not dynamic_wi8"),
        (TFLiteConfig, {"precision": "int8", "recipe": "static_wi8_ai8"}, "not both"),
        (TFLiteConfig, {"recipe": "static_wi8_ai8", "per_channel": False}, "are per channel"),
        (TFLiteConfig, {"precision": "float16", "per_channel": False}, "quantized weights"),
        (TFLiteConfig, {"precision": "int16x8", "keep_float": ["a"]}, "keep_float needs"),
        (TFLiteConfig, {"precision": "float32", "optimization": "DEFAULT"}, "nothing float32"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    cls: Any, values: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        cls(**values)


@pytest.mark.parametrize("name", ["DEFAULT", "OPTIMIZE_FOR_SIZE", "OPTIMIZE_FOR_LATENCY"])
def test_the_converters_own_names_alone_mean_dynamic_range(name: Any) -> None:
    assert TFLiteConfig(optimization=name).precision == "dynamic_range"
    assert TFLiteConfig(optimization=name, precision="int8").precision == "int8"


# The first example imports TensorFlow.
@settings(deadline=None)
@given(
    examples=st.integers(1, 5000),
    batch=st.integers(1, 256),
    epochs=st.integers(1, 20),
    begin=st.integers(0, 19),
    frequency=st.integers(1, 200),
)
def test_a_polynomial_schedule_ends_on_a_step_in_which_pruning_happens(
    examples: int, batch: int, epochs: int, begin: int, frequency: int
) -> None:
    begin = min(begin, epochs - 1)
    config = PruneConfig(
        epochs=epochs, begin_epoch=begin, frequency_steps=frequency, batch_size=batch
    )
    schedule = _schedule(config, examples)
    steps = math.ceil(examples / batch) * epochs
    assert (schedule.end_step - schedule.begin_step) % schedule.frequency == 0
    assert schedule.begin_step < schedule.end_step
    # A model trained in one step only has no second one in which sparsity could grow.
    assert schedule.end_step < steps or steps - schedule.begin_step == 1
