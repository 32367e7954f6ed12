"""Our errors as Airflow's retry or fail: the one place that decides it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from slipway.errors import TerminalError, TransientError

if TYPE_CHECKING:
    from slipway.spec.execution import ExecutionSpec

# The delay is left to the task's own settings, which grow it; a rule's would stay the same. An
# error that is none of ours says nothing about a second try, so Airflow's own rule holds.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(TerminalError, RetryAction.FAIL, reason="terminal: a retry cannot help"),
        RetryRule(TransientError, RetryAction.RETRY, reason="transient: a retry may help"),
    ]
)

_GROWTH = 2.0
_LARGEST_DELAY = timedelta(minutes=10)


def retry_arguments(execution: ExecutionSpec) -> dict[str, Any]:
    """What every task is told about retries: how many, how far apart, and after which errors."""
    return {
        "retries": execution.retries,
        "retry_delay": timedelta(seconds=execution.retry_delay_seconds),
        "retry_exponential_backoff": _GROWTH,
        "max_retry_delay": _LARGEST_DELAY,
        "retry_policy": RETRY_POLICY,
    }
