"""How long Google Cloud Storage is waited for, and what is asked again.

The budget: a request that cannot be had is given up within a minute. Until then answers 408, 429
and 5xx, broken connections and silence are asked again with growing pauses. An upload may take two
minutes a request on top, because a slow line is no silence.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

if TYPE_CHECKING:
    from collections.abc import Callable

    T = TypeVar("T")

BUDGET_SECONDS = 60
_PAUSES: dict[str, Any] = {"initial": 0.2, "maximum": 4.0, "multiplier": 2.0}
_TRYING_SECONDS = 25
_SESSION_SECONDS = 10
_CONNECT_SECONDS = 3
_SILENCE_SECONDS = 20
# The client takes the time to connect for the time to send.
_SENDING_SECONDS = 120

_retry: Any = DEFAULT_RETRY.with_delay(**_PAUSES)
# For every call of the client but those that send much.
CALL = {
    "retry": _retry.with_timeout(_TRYING_SECONDS),
    "timeout": (_CONNECT_SECONDS, _SILENCE_SECONDS),
}
SEND = {
    "retry": _retry.with_timeout(_SESSION_SECONDS),
    "timeout": (_SENDING_SECONDS, _SILENCE_SECONDS),
}


def patiently(call: Callable[[], T]) -> T:
    """Repeats what the client gives up at the first try: an error whose own text breaks off."""
    return _repeated(call, _broke_off)


def anew(send: Callable[[], T]) -> T:
    """Begins an upload again whose session is lost, or in which bytes went astray."""
    return _repeated(send, lambda error: _broke_off(error) or _lost_session(error))


def _broke_off(error: BaseException) -> bool:
    return isinstance(error, requests.RequestException)


def _lost_session(error: BaseException) -> bool:
    if isinstance(error, api.GoogleAPICallError):
        return bool(error.code == HTTPStatus.GONE)
    return isinstance(error, api.RetryError | DataCorruption)


def _repeated(call: Callable[[], T], again: Callable[[BaseException], bool]) -> T:
    retry: Any = Retry(again, timeout=_TRYING_SECONDS, **_PAUSES)
    result: T = retry(call)()
    return result
