from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import TerminalError
from slipway.evaluation.facts import TensorFacts
from slipway.rollout.kserve import Interface, parse_interface
from slipway.serving.triton import model_config


def interface(
    inputs: dict[str, tuple[str, tuple[int, ...]]], outputs: dict[str, tuple[str, tuple[int, ...]]]
) -> Interface:
    def facts(given: dict[str, tuple[str, tuple[int, ...]]]) -> dict[str, TensorFacts]:
        return {
            name: TensorFacts(dtype=dtype, shape=shape) for name, (dtype, shape) in given.items()
        }

    return parse_interface(model_config("m", "onnx", facts(inputs), facts(outputs)))


@given(
    st.lists(
        st.lists(st.lists(st.floats(-9, 9), min_size=3, max_size=3), min_size=2, max_size=2),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_sent_and_given_back_as_it_is_stays_what_it_was(rows: list[Any]) -> None:
    echo = interface({"x": ("float32", (-1, 2, 3))}, {"y": ("float32", (-1, 2, 3))})
    [sent] = echo.request({"instances": rows})["inputs"]
    assert (sent["datatype"], sent["shape"]) == ("FP32", [len(rows), 2, 3])
    answer = {"outputs": [{**sent, "name": "y"}]}
    assert echo.reply(answer, len(rows)) == {"predictions": rows}


def test_texts_and_numbers_by_name_become_vectors_of_one() -> None:
    found = interface(
        {"city": ("string", (-1,)), "age": ("int64", (-1,))}, {"price": ("float32", (-1,))}
    )
    rows = [{"city": "Ulm", "age": 3}, {"city": "Bonn", "age": 4}]
    assert found.request({"signature_name": "s", "instances": rows}) == {
        "inputs": [
            {"name": "city", "shape": [2, 1], "datatype": "BYTES", "data": ["Ulm", "Bonn"]},
            {"name": "age", "shape": [2, 1], "datatype": "INT64", "data": [3, 4]},
        ],
        "outputs": [{"name": "price"}],
    }
    answer = {"outputs": [{"name": "price", "shape": [2, 1], "data": [1.5, 2.5]}]}
    assert found.reply(answer, 2) == {"predictions": [1.5, 2.5]}


def test_a_fixed_batch_is_filled_and_only_what_was_asked_is_looked_at() -> None:
    found = interface({"x": ("float32", (4, 2))}, {"y": ("float32", (4, 1))})
    [sent] = found.request({"instances": [[1.0, 2.0]]})["inputs"]
    assert (sent["shape"], sent["data"]) == ([4, 2], [1.0, 2.0] * 4)
    answer = {"outputs": [{"name": "y", "shape": [4, 1], "data": [3.0, 0.0, 0.0, 0.0]}]}
    assert found.reply(answer, 1) == {"predictions": [[3.0]]}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ({}, "not of the inference protocol: KeyError: 'outputs'"),
        ({"outputs": []}, "not of the inference protocol: KeyError: 'y'"),
        ({"outputs": [{"name": "y", "shape": [2, 1], "data": [1.0]}]}, "y has 1 values"),
        ({"outputs": [{"name": "y", "shape": [1, 1], "data": [1.0]}]}, "1 of y for 2 examples"),
    ],
)
def test_an_answer_of_another_kind_is_a_failed_request(
    answer: dict[str, Any], problem: str
) -> None:
    found = interface({"x": ("float32", (-1, 2))}, {"y": ("float32", (-1, 1))})
    with pytest.raises(ValueError, match=problem):
        found.reply(answer, 2)


@pytest.mark.parametrize(("dtype", "value"), [("float16", 1.0), ("string", {"b64": "/w=="})])
def test_what_json_cannot_carry_is_said(dtype: str, value: Any) -> None:
    found = interface({"x": (dtype, (-1,))}, {"y": ("float32", (-1, 1))})
    with pytest.raises(TerminalError, match=r"the input x is .* JSON cannot carry"):
        found.request({"instances": [value]})
