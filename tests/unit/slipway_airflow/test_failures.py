"""Which errors Airflow tries again."""

from __future__ import annotations

import pytest
from airflow.sdk import RetryAction

from slipway.contracts import StepFailure
from slipway.errors import TerminalError, TransientError
from slipway.spec.execution import ExecutionSpec
from slipway.spec.loader import SpecError
from slipway_airflow.failures import RETRY_POLICY, retry_arguments


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (TerminalError("no", hint="stop"), RetryAction.FAIL),
        (SpecError.__new__(SpecError), RetryAction.FAIL),
        (TransientError("no", hint="wait"), RetryAction.RETRY),
        (
            StepFailure(kind="transient", message="no", hint="wait").error(),
            RetryAction.RETRY,
        ),
        (RuntimeError("whatever"), RetryAction.DEFAULT),
    ],
)
def test_the_kind_of_an_error_decides_whether_it_is_tried_again(
    error: Exception, action: RetryAction
):
    assert RETRY_POLICY.evaluate(error, 1, 2).action is action


def test_the_delay_grows_from_what_the_spec_says():
    decision = RETRY_POLICY.evaluate(TransientError("no", hint="wait"), 1, 2)
    assert decision.retry_delay is None, "a delay of the rule would stay the same"
    arguments = retry_arguments(ExecutionSpec(retries=4, retry_delay_seconds=7))
    assert arguments["retries"] == 4
    assert arguments["retry_delay"].total_seconds() == 7
    assert arguments["retry_exponential_backoff"] > 1
    assert arguments["max_retry_delay"] > arguments["retry_delay"]


def test_an_error_shows_what_to_do_next():
    assert str(TerminalError("it broke", hint="mend it")) == "it broke -> mend it"
