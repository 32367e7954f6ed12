from __future__ import annotations

import pickle

import pytest

from slipway.contracts import StepFailure
from slipway.errors import SlipwayError, TerminalError, TransientError

ERRORS = [
    TerminalError("the bucket is gone", hint="create it", subject="models", details={"code": 404}),
    TransientError("no answer", hint="try again"),
]


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_says_what_happened_and_what_to_do(error: SlipwayError) -> None:
    assert str(error) == f"{error.message} -> {error.hint}"


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_survives_pickling(error: SlipwayError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.subject, copy.details) == (str(error), error.subject, error.details)


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_crosses_a_process_unchanged(error: SlipwayError) -> None:
    failure = StepFailure.model_validate_json(StepFailure.of(error).model_dump_json())
    copy = failure.error()
    assert type(copy) is type(error)
    assert (str(copy), copy.subject, copy.details) == (str(error), error.subject, error.details)
