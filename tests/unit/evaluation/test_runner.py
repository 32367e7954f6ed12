"""Running variants: batches, quantized integers, strings, several inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import TerminalError
from slipway.evaluation.facts import TensorFacts
from slipway.evaluation.runner import Runner, match_names, open_runner
from slipway.evaluation.serving import ask_server, make_golden, rows
from slipway.evaluation.signatures import dequantize, quantize
from slipway.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


class Fixed:
    """A signature that takes exactly four examples and doubles them."""

    def __init__(self) -> None:
        self.inputs = {"x": TensorFacts(dtype="float32", shape=(4, 2))}
        self.outputs = {"y": TensorFacts(dtype="float32", shape=(4, 2))}

    def call(self, inputs: Any) -> dict[str, np.ndarray]:
        assert inputs["x"].shape == (4, 2)
        return {"y": inputs["x"] * 2}


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_a_fixed_batch_is_filled_and_cut(count: int) -> None:
    import numpy as np

    values = np.arange(count * 2, dtype="float64").reshape(count, 2)
    answers = Runner("fixed", Fixed()).predict({"anything": values})
    assert np.array_equal(answers["y"], values * 2)
    assert answers["y"].dtype == np.float32


@settings(deadline=None)
@given(
    st.lists(st.floats(-5, 5, width=32), min_size=1),
    st.sampled_from(["int8", "uint8", "int16"]),
    st.floats(0.05, 0.5),
    st.integers(0, 20),
)
def test_quantizing_is_off_by_half_a_step_inside_the_range(
    numbers: list[float], dtype: str, scale: float, zero_point: int
) -> None:
    import numpy as np

    facts = TensorFacts(dtype=dtype, shape=(-1,), scale=scale, zero_point=zero_point)
    limits = np.iinfo(dtype)
    low, high = ((end - zero_point) * scale for end in (limits.min, limits.max))
    values = np.clip(np.array(numbers, dtype="float32"), low, high)
    restored = dequantize(quantize(values, facts), facts)
    assert np.abs(restored - values).max() <= scale / 2 + 1e-3


def test_quantizing_clips_what_lies_outside() -> None:
    import numpy as np

    facts = TensorFacts(dtype="int8", shape=(-1,), scale=0.1, zero_point=0)
    assert quantize(np.array([-1e9, 1e9]), facts).tolist() == [-128, 127]


def test_names_belong_together_by_name_or_where_there_is_one_of_each() -> None:
    assert match_names(["x"], ["serving_default_x"], "input", "has") == {"x": "serving_default_x"}
    assert match_names(["a", "b"], ["b", "a", "c"], "input", "has") == {"a": "a", "b": "b"}
    with pytest.raises(TerminalError, match=r"input colour is missing.*did you mean color"):
        match_names(["colour", "size"], ["color", "size"], "input", "has")


def test_rows_hold_a_value_or_an_object_for_each_example() -> None:
    import numpy as np

    one = {"x": np.array([[1.5], [2.5]])}
    two = {"n": np.array([1, 2]), "s": np.array([b"a", b"\xff"], dtype=object)}
    assert rows(one) == [[1.5], [2.5]]
    assert rows(two) == [{"n": 1, "s": "a"}, {"n": 2, "s": {"b64": "/w=="}}]


def test_strings_and_several_outputs_go_through_the_model_server(tmp_path: Path) -> None:
    import numpy as np
    import tensorflow as tf

    from slipway.definition import Examples
    from support.tiny_variants import SIGNATURE, saved_model

    class Wines(tf.Module):
        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, "grape"),
                tf.TensorSpec([None, 1], tf.float32, "alcohol"),
            ]
        )
        def serve(self, grape: Any, alcohol: Any) -> dict[str, Any]:
            red = tf.cast(tf.equal(grape, "merlot"), tf.float32)
            return {"price": alcohol[:, 0] * (1 + red), "label": tf.strings.upper(grape)}

    artifact = saved_model(Workspace(tmp_path / "workspace"), Wines())
    runner = open_runner(artifact, SIGNATURE, "wines")
    inputs = {
        "grape": np.array(["merlot", "riesling", "merlot"]),
        "alcohol": np.array([[12.0], [11.0], [13.5]]),
    }
    answers = runner.predict(inputs)
    assert answers["price"].tolist() == [24.0, 11.0, 27.0]
    assert answers["label"].tolist() == [b"MERLOT", b"RIESLING", b"MERLOT"]
    golden = make_golden(runner, "wines", SIGNATURE, Examples(inputs, np.zeros(3)))
    served = ask_server(artifact, golden)
    assert served.problems == ()
    assert served.requests == 8
    with pytest.raises(TerminalError, match="input grape is string, load_data gives float64"):
        runner.predict({**inputs, "grape": np.zeros(3)})


def test_the_model_server_says_why_it_cannot_load(tmp_path: Path) -> None:
    from slipway.contracts import ArtifactRef
    from slipway.evaluation.golden import Golden, GoldenRequest

    (tmp_path / "saved_model").mkdir()
    (tmp_path / "saved_model" / "saved_model.pb").write_bytes(b"not a model")
    damaged = ArtifactRef(kind="saved_model", digest="0", uri=str(tmp_path), size_bytes=11)
    request = GoldenRequest(body={"instances": [1]}, expected={"predictions": [1]})
    golden = Golden(model="m", variant="v", signature_name="s", requests=(request,))
    served = ask_server(damaged, golden)
    assert served.largest_difference is None
    assert "did not load it" in served.problems[0]
    assert "saved_model.pb" in served.problems[0]
