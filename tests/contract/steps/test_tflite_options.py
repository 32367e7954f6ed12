"""What each option of the conversion does to the file, and that it still answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.modelling.lite import Options, convert
from slipway.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np

NAME = "serving_default"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel of 32 inputs, two layers and 8 outputs."""
    import tensorflow as tf

    class Layers(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            first = tf.random.stateless_normal([32, 64], [1, 2])
            # Channels of very different sizes: one scale for all of them is a coarse one.
            self.first = tf.Variable(first * tf.linspace(0.02, 1.0, 64)[tf.newaxis])
            self.second = tf.Variable(tf.random.stateless_normal([64, 8], [3, 4]))

        @tf.function(input_signature=[tf.TensorSpec([None, 32], tf.float32, "x")])
        def serve(self, x: Any) -> dict[str, Any]:
            return {"y": tf.nn.relu(x @ self.first) @ self.second}

    with Workspace(tmp_path_factory.mktemp("options")).staging() as staged:
        module = Layers()
        target = staged.parent / "model"
        tf.saved_model.save(module, str(target), signatures={NAME: module.serve})
    return target


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    import numpy as np

    return np.random.default_rng(0).normal(size=(200, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def converted(folder: Path, rows: np.ndarray) -> Callable[..., bytes]:
    """Convert with these options."""

    def dataset() -> Iterator[tuple[str, dict[str, Any]]]:
        for place in range(len(rows)):
            yield NAME, {"x": rows[place : place + 1]}

    def one(**options: Any) -> bytes:
        chosen = Options(**options)
        return convert(
            "tried", folder, [NAME], chosen, dataset if chosen.is_calibrated else None
        ).content

    return one


@pytest.mark.parametrize(
    ("options", "weights", "share", "error"),
    [
        ({}, "float32", 1.0, 1e-5),
        ({"precision": "float16"}, "float16", 0.6, 0.01),
        ({"precision": "dynamic_range"}, "int8", 0.6, 0.05),
        ({"precision": "int8"}, "int8", 0.6, 0.1),
        ({"precision": "int8", "per_channel": False}, "int8", 0.6, 0.2),
        ({"precision": "int16x8"}, "int8", 0.6, 0.05),
        ({"recipe": "dynamic_wi8_afp32"}, "int8", 0.6, 0.05),
        ({"recipe": "dynamic_wi4_afp32"}, "int4", 0.4, 0.4),
        ({"recipe": "weight_only_wi8_afp32"}, "int8", 0.6, 0.05),
        ({"recipe": "weight_only_wi4_afp32"}, "int4", 0.4, 0.4),
        ({"recipe": "static_wi8_ai8"}, "int8", 0.6, 0.1),
        ({"recipe": "static_wi8_ai16"}, "int8", 0.6, 0.05),
    ],
)
def test_weights_sizes_and_answers_are_those_of_the_option(
    converted: Callable[..., bytes],
    rows: np.ndarray,
    options: dict[str, Any],
    weights: str,
    share: float,
    error: float,
) -> None:
    import numpy as np

    plain, content = converted(), converted(**options)
    assert len(content) <= share * len(plain)
    assert weights in _weight_types(content)
    wanted, found = _answer(plain, rows), _answer(content, rows)
    assert found.shape == (200, 8)
    assert np.abs(found - wanted).max() <= error * np.abs(wanted).max()


def test_the_converters_three_names_give_the_same_bytes(converted: Callable[..., bytes]) -> None:
    names = ("DEFAULT", "OPTIMIZE_FOR_SIZE", "OPTIMIZE_FOR_LATENCY")
    made = {converted(precision="dynamic_range", optimization=name) for name in names}
    assert len(made) == 1


def test_one_scale_for_all_channels_is_coarser_than_one_each(
    converted: Callable[..., bytes], rows: np.ndarray
) -> None:
    import numpy as np

    wanted = _answer(converted(), rows)
    each, one = (
        np.abs(_answer(converted(precision="int8", per_channel=by), rows) - wanted).mean()
        for by in (True, False)
    )
    assert each < one


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({"precision": "int8", "integer_io": True}, "int8"),
        ({"precision": "int16x8", "integer_io": True}, "int16"),
        ({"recipe": "static_wi8_ai8", "integer_io": True}, "int8"),
        ({"recipe": "static_wi8_ai16", "integer_io": True}, "int16"),
    ],
)
def test_integer_inputs_and_outputs_say_what_they_stand_for(
    converted: Callable[..., bytes], options: dict[str, Any], dtype: str
) -> None:
    runner = _open(converted(**options)).get_signature_runner(NAME)
    for details in (runner.get_input_details()["x"], runner.get_output_details()["y"]):
        assert details["dtype"].__name__ == dtype
        assert details["quantization"][0] > 0
        assert details["shape_signature"][0] == -1


def _open(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content, num_threads=1)


def _answer(content: bytes, rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = _open(content).get_signature_runner(NAME)(x=rows)["y"]
    return found


def _weight_types(content: bytes) -> set[str]:
    """Types of the tensors that the file holds the numbers of, but for biases and shapes."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    return {
        flatbuffer_utils.type_to_name(tensor.type).lower()
        for tensor in model.subgraphs[0].tensors
        if model.buffers[tensor.buffer].data is not None and len(tensor.shape) > 1
    }
