"""How long an S3 endpoint is waited for, and what is asked again.

The budget: a request that cannot be had is given up within a minute. Until then whoever refuses the
connection, drops it, throttles, answers 5xx or stays silent is asked again with growing pauses. An
upload may take two minutes a request on top, because a slow line is no silence.
"""

from __future__ import annotations

import random
import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from obstore import exceptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from obstore.store import ClientConfig, RetryConfig

    T = TypeVar("T")

BUDGET_SECONDS = 60
_TRYING_SECONDS = 25
RETRIES: RetryConfig = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=_TRYING_SECONDS),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=4),
        "base": 2,
    },
}
_CONNECT_SECONDS = 3
SILENCE_SECONDS = 20
# The client counts the time in which it sends as silence of the server.
SENDING_SECONDS = 120
_REQUEST_SECONDS = 600
_PAUSES = (0.2, 0.4, 0.8, 1.6)
_BROKE_OFF = re.compile(r"kind: (Interrupted|Timeout)\b")
_TRIED_AGAIN = re.compile(r"after [1-9]\d* retries")


def timeouts(silence_seconds: float) -> ClientConfig:
    """How long one request may take.

    Args:
        silence_seconds: Without a byte from the server, sending included.
    """
    return {
        "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=silence_seconds),
        "timeout": timedelta(seconds=_REQUEST_SECONDS),
    }


def patiently(call: Callable[[], T]) -> T:
    """Repeats what the client gives up at the first try, within the same budget.

    That is the text of an error or a listing that breaks off, and a conditional write that times
    out: it may have been carried out, so its repetition may fail its own condition.
    """
    until = time.monotonic() + _TRYING_SECONDS
    for pause in _PAUSES:
        try:
            return call()
        except exceptions.BaseError as error:
            text = str(error)
            given_up = _TRIED_AGAIN.search(text) or not _BROKE_OFF.search(text)
            if given_up or time.monotonic() > until:
                raise
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads those who ask
    return call()
