"""Golden requests: what counts as a difference between two answers."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from slipway.evaluation.golden import Golden, GoldenRequest, differences, largest_difference

NUMBERS = st.floats(-1e6, 1e6)
ANSWERS: st.SearchStrategy[Any] = st.recursive(
    st.one_of(NUMBERS, st.integers(-(10**6), 10**6), st.text(max_size=5), st.booleans()),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(ANSWERS)
def test_an_answer_never_differs_from_itself(answer: Any) -> None:
    assert differences(answer, answer) == []
    assert largest_difference(answer, answer) == 0


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=1), st.floats(1e-6, 1), st.data())
def test_numbers_differ_beyond_the_tolerance_only(
    values: list[float], tolerance: float, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(values) - 1))
    allowed = tolerance + 1e-5 * abs(values[index])
    near, far = list(values), list(values)
    near[index] += 0.9 * allowed
    far[index] += 1.1 * allowed
    assert differences(values, near, tolerance) == []
    [line] = differences(values, far, tolerance)
    assert line.startswith(f"[{index}]: expected")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_always_differs(bad: float) -> None:
    assert differences({"predictions": [0.5]}, {"predictions": [bad]}, 1e9)
    assert largest_difference([0.5], [bad]) == math.inf


@pytest.mark.parametrize(
    ("got", "line"),
    [
        ({"error": "no"}, "predictions: missing"),
        ({"predictions": [[0.1]]}, "predictions[0]: expected 2 entries, got 1"),
        ({"predictions": [[0.1, "x"]]}, "predictions[0][1]: expected 0.9, got 'x'"),
        ({"predictions": [[0.1, True]]}, "predictions[0][1]: expected 0.9, got True"),
        (None, "value: expected {'predictions': [[0.1, 0.9]]}, got None"),
    ],
)
def test_every_other_difference_is_named_with_its_place(got: Any, line: str) -> None:
    assert line in differences({"predictions": [[0.1, 0.9]]}, got)


def test_many_differences_are_cut_short() -> None:
    lines = differences([0.0] * 50, [1.0] * 50)
    assert len(lines) == 21
    assert lines[-1] == "and 30 more"


def test_a_quantized_answer_may_be_off_by_one() -> None:
    request = GoldenRequest(body={"instances": [[3]]}, expected={"predictions": [[5]]})
    golden = Golden(model="m", variant="v", signature_name="s", tolerance=1.0, requests=(request,))
    assert golden.differences(0, {"predictions": [[6]]}) == []
    assert golden.differences(0, {"predictions": [[7]]}) != []


def test_golden_requests_survive_json_and_are_never_none_at_all() -> None:
    request = GoldenRequest(
        body={"instances": [{"a": "x", "b": {"b64": "AA=="}}]}, expected={"predictions": [0.25]}
    )
    golden = Golden(model="m", variant="v", signature_name="s", requests=(request,))
    assert Golden.model_validate_json(golden.model_dump_json()) == golden
    with pytest.raises(ValidationError):
        Golden(model="m", variant="v", signature_name="s", requests=())


def test_reading_golden_requests_imports_no_tensorflow_and_no_numpy() -> None:
    code = (
        "import sys, slipway.evaluation.golden; "
        "sys.exit(bool({'tensorflow', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
