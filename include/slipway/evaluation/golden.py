"""Golden requests: what a variant was asked when it was validated, and what it answered.

golden.json is the one document by which publish, deploy and probe can tell, in other processes and
without TensorFlow, that a server answers as the validated variant did.
"""

from __future__ import annotations

import math
from typing import Any, Literal, TypeGuard

from pydantic import Field, NonNegativeFloat

from slipway.contracts import Contract

GOLDEN_FILE = "golden.json"
DEFAULT_TOLERANCE = 1e-3
# A float32 has 24 bits: two correct servers may differ by this share of a large value.
_RELATIVE_TOLERANCE = 1e-5
_MOST_DIFFERENCES = 20


class GoldenRequest(Contract):
    """One request and its answer.

    Attributes:
        body: What is posted to `/v1/models/<model>...:predict`, in TensorFlow Serving's row form:
            {"signature_name": ..., "instances": [...]}.
        expected: The reply's JSON: {"predictions": [...]}, one entry an instance.
    """

    body: dict[str, Any]
    expected: dict[str, Any]


class Golden(Contract):
    """The content of golden.json.

    Attributes:
        schema_version: Of this document.
        model: The model's name.
        variant: The variant that answered.
        signature_name: The signature that was asked.
        tolerance: Largest difference that rounding can explain: 1 where the variant's outputs are
            quantized integers, 0 where they are floating point. A looser tolerance of the reader
            wins over it.
        requests: At least one.
    """

    schema_version: Literal[1] = 1
    model: str
    variant: str
    signature_name: str
    tolerance: NonNegativeFloat = 0.0
    requests: tuple[GoldenRequest, ...] = Field(min_length=1)

    def differences(
        self, index: int, got: object, tolerance: float = DEFAULT_TOLERANCE
    ) -> list[str]:
        """How a reply to request `index` differs from what the variant answered."""
        expected = self.requests[index].expected
        return differences(expected, got, max(tolerance, self.tolerance))


def differences(expected: object, got: object, tolerance: float = DEFAULT_TOLERANCE) -> list[str]:
    """Compare two JSON values.

    Numbers may differ by `tolerance` plus 1e-5 of the expected value; everything else must be
    equal. NaN and infinity equal nothing, so a reply that has one always differs.

    Args:
        expected: What the variant answered.
        got: What a server replied.
        tolerance: Largest absolute difference between two numbers.

    Returns:
        One line a difference, with its place, at most 20; empty if there is none.
    """
    found: list[str] = []
    _compare(expected, got, tolerance, "", found)
    if len(found) > _MOST_DIFFERENCES:
        more = len(found) - _MOST_DIFFERENCES
        return [*found[:_MOST_DIFFERENCES], f"and {more} more"]
    return found


def largest_difference(expected: object, got: object) -> float:
    """Largest absolute difference between two numbers at one place; infinite if shapes differ."""
    if _is_number(expected) and _is_number(got):
        distance = abs(expected - got)
        return distance if math.isfinite(distance) else math.inf
    if isinstance(expected, dict) and isinstance(got, dict) and expected.keys() == got.keys():
        return max((largest_difference(expected[key], got[key]) for key in expected), default=0.0)
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        pairs = zip(expected, got, strict=True)
        return max((largest_difference(one, other) for one, other in pairs), default=0.0)
    return 0.0 if expected == got and type(expected) is type(got) else math.inf


def _compare(expected: object, got: object, tolerance: float, place: str, found: list[str]) -> None:
    if _is_number(expected) and _is_number(got):
        distance = abs(expected - got)
        # The negation also catches NaN, which compares as false with everything.
        if not distance <= tolerance + _RELATIVE_TOLERANCE * abs(expected):
            found.append(f"{place or 'value'}: expected {expected:.6g}, got {got:.6g}")
    elif isinstance(expected, dict) and isinstance(got, dict):
        _compare_objects(expected, got, tolerance, place, found)
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            found.append(f"{place}: expected {len(expected)} entries, got {len(got)}")
            return
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            _compare(one, other, tolerance, f"{place}[{index}]", found)
    elif type(expected) is not type(got) or expected != got:
        found.append(f"{place or 'value'}: expected {_short(expected)}, got {_short(got)}")


def _compare_objects(
    expected: dict[str, Any], got: dict[str, Any], tolerance: float, place: str, found: list[str]
) -> None:
    prefix = f"{place}." if place else ""
    found.extend(f"{prefix}{key}: missing" for key in expected if key not in got)
    found.extend(f"{prefix}{key}: not expected" for key in got if key not in expected)
    for key, value in expected.items():
        if key in got:
            _compare(value, got[key], tolerance, f"{prefix}{key}", found)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  # width of a log line
