from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slipway.serving.server.encoding import error_answer, predict_answer
from slipway.serving.server.status import StatusError


def answer(*, row: bool, **outputs: Any) -> Any:
    return json.loads(predict_answer(outputs, row=row))


def test_one_output_is_unnamed_and_several_are_named() -> None:
    import numpy as np

    y = np.array([[1.5, 2.0], [3.0, 4.0]], np.float32)
    label = np.array([b"a", b"b"], object)
    assert answer(row=True, y=y) == {"predictions": [[1.5, 2.0], [3.0, 4.0]]}
    assert answer(row=False, y=y) == {"outputs": [[1.5, 2.0], [3.0, 4.0]]}
    assert answer(row=True, y=y, label=label) == {
        "predictions": [{"y": [1.5, 2.0], "label": "a"}, {"y": [3.0, 4.0], "label": "b"}]
    }
    assert answer(row=False, y=y, label=label) == {
        "outputs": {"y": [[1.5, 2.0], [3.0, 4.0]], "label": ["a", "b"]}
    }


def test_floats_are_written_short_and_always_as_floats() -> None:
    import numpy as np

    body = predict_answer({"y": np.array([0.1, 2, 1e6, 1e-7, 1 / 3], np.float32)}, row=False)
    assert b"[0.1, 2.0, 1e+06, 1e-07, 0.333333343]" in body


def test_what_is_no_finite_number_has_a_token_of_its_own() -> None:
    import numpy as np

    body = predict_answer({"y": np.array([np.nan, np.inf, -np.inf], np.float32)}, row=True)
    assert b"[NaN, Infinity, -Infinity]" in body


def test_integers_booleans_and_scalars_keep_their_kind() -> None:
    import numpy as np

    assert answer(row=False, y=np.array(2**63 - 1, np.int64)) == {"outputs": 2**63 - 1}
    assert answer(row=False, y=np.array([True, False])) == {"outputs": [True, False]}
    assert answer(row=True, y=np.array([7], np.uint8)) == {"predictions": [7]}


def test_outputs_named_bytes_are_base64() -> None:
    import numpy as np

    found = answer(row=True, image_bytes=np.array([b"\x00\xff"], object))
    assert base64.b64decode(found["predictions"][0]["b64"]) == b"\x00\xff"


def test_strings_that_are_no_utf8_go_out_as_they_are() -> None:
    import numpy as np

    assert b'"\xff\xfe"' in predict_answer({"s": np.array([b"\xff\xfe"], object)}, row=False)


def test_rows_need_one_batch_size() -> None:
    import numpy as np

    with pytest.raises(StatusError, match="inconsistent batch size: 3 expecting: 2"):
        answer(row=True, a=np.zeros(2), b=np.zeros(3))
    with pytest.raises(StatusError, match="has no shape information"):
        answer(row=True, a=np.zeros(()))


def test_an_error_is_one_field() -> None:

    assert json.loads(error_answer('a "b"\n')) == {"error": 'a "b"\n'}


SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)


@given(hnp.arrays("float32", SHAPES, elements=st.floats(width=32)), st.booleans())
def test_every_float32_comes_back_as_it_was(sent: Any, row: bool) -> None:
    import numpy as np

    (value,) = answer(row=row, y=sent).values()
    found = np.array(value, np.float32).reshape(sent.shape)
    np.testing.assert_array_equal(found, sent)
    assert len(value) == len(sent)


@given(hnp.arrays("float64", SHAPES, elements=st.floats()))
def test_every_float64_comes_back_as_it_was(sent: Any) -> None:
    import numpy as np

    found = np.array(answer(row=False, y=sent)["outputs"], np.float64).reshape(sent.shape)
    np.testing.assert_array_equal(found, sent)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_every_text_comes_back_as_it_was(sent: list[str]) -> None:
    import numpy as np

    values = np.empty(len(sent), object)
    values[:] = [text.encode() for text in sent]
    assert answer(row=True, y=values) == {"predictions": sent}
