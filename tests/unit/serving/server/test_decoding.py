from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slipway.serving.server.decoding import parse_predict
from slipway.serving.server.signatures import TensorSpec
from slipway.serving.server.status import StatusError

if TYPE_CHECKING:
    from collections.abc import Mapping

X = {"x": TensorSpec("float32", (-1, 2))}
LOOSE = {"x": TensorSpec("float32", None)}
PAIR = {"age": TensorSpec("int64", (-1,)), "city": TensorSpec("string", (-1,))}


def arrays(document: Any, inputs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    return parse_predict(json.dumps(document).encode()).arrays(inputs)


def refusal(document: Any, inputs: Mapping[str, TensorSpec]) -> str:
    with pytest.raises(StatusError) as raised:
        arrays(document, inputs)
    assert raised.value.code == "INVALID_ARGUMENT"
    return raised.value.message


def typed(dtype: str) -> dict[str, TensorSpec]:
    return {"x": TensorSpec(dtype, None)}


@pytest.mark.parametrize(
    "document",
    [
        {"instances": [[1, 2], [3, 4.5]]},
        {"instances": [{"x": [1, 2]}, {"x": [3, 4.5]}]},
        {"inputs": [[1, 2], [3, 4.5]]},
        {"inputs": {"x": [[1, 2], [3, 4.5]]}},
    ],
)
def test_one_input_may_be_named_or_not_by_row_or_by_column(document: Any) -> None:
    found = arrays(document, X)["x"]
    assert found.dtype == "float32"
    assert found.tolist() == [[1.0, 2.0], [3.0, 4.5]]


@pytest.mark.parametrize(
    "document",
    [
        {"instances": [{"age": 3, "city": "Ulm"}, {"city": {"b64": "UGFyaXM="}, "age": -4}]},
        {"inputs": {"age": [3, -4], "city": ["Ulm", {"b64": "UGFyaXM="}]}},
    ],
)
def test_several_inputs_have_types_of_their_own(document: Any) -> None:
    found = arrays(document, PAIR)
    assert found["age"].tolist() == [3, -4]
    assert found["age"].dtype == "int64"
    assert found["city"].tolist() == [b"Ulm", b"Paris"]


def test_unnamed_rows_of_bytes_are_values_not_objects() -> None:
    found = arrays({"instances": [{"b64": "AAE="}, "a"]}, typed("string"))
    assert found["x"].tolist() == [b"\x00\x01", b"a"]


def test_not_a_number_and_infinities_are_numbers() -> None:
    body = b'{"inputs": [NaN, Infinity, -Infinity]}'
    found = parse_predict(body).arrays(LOOSE)["x"]
    assert math.isnan(found[0])
    assert found[1:].tolist() == [math.inf, -math.inf]


def test_the_signature_name_defaults_to_serving_default() -> None:
    assert parse_predict(b'{"inputs": 1}').signature_name == "serving_default"
    assert parse_predict(b'{"inputs": 1, "signature_name": "s"}').signature_name == "s"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{'inputs': 1}", "JSON Parse error"),
        (b"[1]", "Is not object"),
        (b'{"signature_name": 100, "inputs": 1}', "'signature_name' key must be a string value."),
        (b"[" * 100_000, "JSON Parse error"),
        (b"\xff", "JSON Parse error"),
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes, problem: str) -> None:
    with pytest.raises(StatusError, match="INVALID_ARGUMENT") as raised:
        parse_predict(body)
    assert problem in raised.value.message


@pytest.mark.parametrize(
    ("document", "inputs", "problem"),
    [
        ({}, X, "Missing 'inputs' or 'instances' key"),
        ({"inputs": [1], "instances": [1]}, X, "only one of 'inputs' or 'instances'"),
        ({"instances": 1}, X, "to be an list/array"),
        ({"instances": []}, X, "No values in 'instances'"),
        ({"instances": [[1]]}, PAIR, "expecting list of objects as multiple input tensors"),
        ({"inputs": [[1]]}, PAIR, "expecting an object as multiple input tensors"),
        ({"inputs": {"age": [1]}}, PAIR, "Missing named input: city"),
        ({"instances": [{"x": [1, 2]}, [3, 4]]}, X, "Expecting object but got list at item 1"),
        ({"instances": [[1, 2], {"x": [3, 4]}]}, X, "got object at item 1"),
        ({"instances": [{"z": 1}]}, X, "does not have named input: z"),
        ({"instances": [{"age": 1}]}, PAIR, "keys must be equal to: age,city"),
        ({"inputs": [[1, 2], [3]]}, X, "Encountered list at unexpected size: 1 at level: 1"),
        ({"inputs": [[1, 2], 3]}, X, "found at incorrect level: 2"),
        ({"inputs": [1, [2]]}, X, "Encountered list at unexpected level: 1 expected < 1"),
        ({"inputs": [[1, 2, 3]]}, X, "Input x has shape [1,3], but the signature expects [-1,2]"),
        ({"inputs": [1, 2]}, X, "Input x has shape [2], but the signature expects [-1,2]"),
        (
            {"instances": [[1, 2], [3, 4, 5]]},
            X,
            "key: x of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 2",
        ),
        ({"instances": [[1, 2], [3, "a"]]}, X, "Failed to process element: 1"),
    ],
)
def test_a_request_of_the_wrong_form_names_what_is_wrong(
    document: Any, inputs: Mapping[str, TensorSpec], problem: str
) -> None:
    assert problem in refusal(document, inputs)


@pytest.mark.parametrize(
    ("dtype", "value", "problem"),
    [
        ("float32", "a", 'JSON Value: "a" Type: String is not of expected type: float'),
        ("float32", True, "JSON Value: true Type: True is not of expected type: float"),
        ("float32", None, "JSON Value: null Type: Null is not of expected type: float"),
        ("float32", {"b64": "AA=="}, "Type: Object is not of expected type: float"),
        ("float32", 16777217, "16777217 to float without loss of precision"),
        ("float32", 1e39, "to float without loss of precision"),
        ("float16", 70000.5, "to half without loss of precision"),
        ("float64", 2**53 + 1, "to double without loss of precision"),
        ("int32", 1.0, "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ("int32", 2**31, "is not of expected type: int32"),
        ("int32", False, "is not of expected type: int32"),
        ("uint8", -1, "is not of expected type: uint8"),
        ("int64", 2**63, "is not of expected type: int64"),
        ("bool", 1, "is not of expected type: bool"),
        ("string", 1, "is not of expected type: string"),
        ("string", {"b65": ""}, "not formatted correctly for base64 data"),
        ("string", {"b64": "%"}, "Unable to base64 decode"),
    ],
)
def test_a_value_of_another_type_is_shown_with_the_type_expected(
    dtype: str, value: Any, problem: str
) -> None:
    assert problem in refusal({"inputs": [value]}, typed(dtype))
    assert problem in refusal({"inputs": [value, value]}, typed(dtype))


def test_a_boolean_among_numbers_is_no_number() -> None:
    assert "Type: True" in refusal({"inputs": [1, True]}, typed("int64"))


def test_a_type_that_json_cannot_carry_is_unimplemented() -> None:
    with pytest.raises(StatusError) as raised:
        arrays({"inputs": [1]}, typed("complex64"))
    assert raised.value.code == "UNIMPLEMENTED"


SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=4)


@given(hnp.arrays("float32", SHAPES, elements=st.floats(width=32, allow_nan=False)))
def test_every_float32_arrives_as_it_was_sent(sent: Any) -> None:
    found = arrays({"inputs": sent.tolist()}, LOOSE)["x"]
    assert found.dtype == "float32"
    assert found.shape == sent.shape
    assert found.tolist() == sent.tolist()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_every_integer_up_to_the_limits_arrives(dtype: str) -> None:
    import numpy as np

    limits = np.iinfo(dtype)
    found = arrays({"inputs": [limits.min, 0, limits.max]}, typed(dtype))["x"]
    assert found.dtype == dtype
    assert found.tolist() == [limits.min, 0, limits.max]


@given(st.lists(st.binary(), min_size=1))
def test_any_bytes_arrive_in_base64(sent: list[bytes]) -> None:
    values = [{"b64": base64.b64encode(value).decode()} for value in sent]
    assert arrays({"instances": values}, typed("string"))["x"].tolist() == sent


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON_VALUES, st.sampled_from(["instances", "inputs"]), st.sampled_from(["float32", "int8"]))
def test_any_json_is_either_an_array_or_refused(value: Any, key: str, dtype: str) -> None:
    try:
        outcome = arrays({key: value}, typed(dtype))["x"].dtype.name
    except StatusError as error:
        outcome = error.code
    assert outcome in {dtype, "INVALID_ARGUMENT"}
