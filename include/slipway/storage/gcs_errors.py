"""What an error of Google Cloud Storage means, and what to do about it."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from slipway.errors import SlipwayError, TerminalError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PERMISSIONS = {
    "list": "storage.objects.list",
    "read": "storage.objects.get",
    "write": "storage.objects.create and storage.objects.delete",
    "delete": "storage.objects.delete",
}
# Google says 403 for throttling too.
_THROTTLED = {"rateLimitExceeded", "userRateLimitExceeded"}
# Timeouts, conflicts and throttling may pass; every other refusal stays one.
_FINAL_STATUS = set(range(300, 500)) - {408, 409, 429} | {501}
_NEW_KEY = (
    "Give a valid service account key (GOOGLE_APPLICATION_CREDENTIALS, or the Airflow "
    "connection's keyfile), and check this machine's clock: a key signs the time."
)

_MAY_BECOME = (
    "Grant whoever asks the role Service Account Token Creator on the account to become, or "
    "correct CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT, or the connection's impersonation_chain."
)


def translated(error: Exception, action: str, where: str, who: str) -> SlipwayError:
    """Returns what an error of the client means; of request and answer only status and reason.

    Args:
        error: As the client raised it.
        action: "read", "write", "list" or "delete".
        where: The address that it was about.
        who: Whom it was asked as, for the message; may be empty.
    """
    error = _last_cause(error)
    failed = f"Could not {action} {where}{who}"
    if isinstance(error, auth.GoogleAuthError) and not _may_pass(error):
        return TerminalError(
            f"{failed}: {_gist(error)}.",
            hint=_MAY_BECOME if "impersonated" in _gist(error) else _NEW_KEY,
            subject=where,
            details={"code": "credentials"},
        )
    status, reason = _status(error), _reason(error)
    answer = f"{status} {reason}".strip() if status else _gist(error)
    if status in _FINAL_STATUS and reason not in _THROTTLED:
        return TerminalError(
            f"{failed}: {answer}.",
            hint=_hint(status, action),
            subject=where,
            details={"code": reason or str(status)},
        )
    return TransientError(
        f"{failed}: {answer}.",
        hint="Check that the endpoint is up and can be reached, then run the task again.",
        subject=where,
        details={"code": reason or (str(status) if status else None)},
    )


def _hint(status: int, action: str) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return _NEW_KEY
    if status == HTTPStatus.FORBIDDEN:
        return f"Grant this account {_PERMISSIONS[action]} on the bucket."
    if status == HTTPStatus.NOT_FOUND:
        return "Create the bucket, or correct its name in publish.base_uri."
    return f"Check that the account may {action} there, and the address."


def _may_pass(error: auth.GoogleAuthError) -> bool:
    return isinstance(error, auth.TransportError) or bool(getattr(error, "retryable", False))


def _last_cause(error: Exception) -> Exception:
    """What the retries ended with."""
    while isinstance(error, api.RetryError) and isinstance(error.cause, Exception):
        error = error.cause
    return error


def _status(error: Exception) -> int | None:
    if isinstance(error, api.GoogleAPICallError) and error.code is not None:
        return int(error.code)
    if isinstance(error, InvalidResponse):
        return int(error.response.status_code)
    return None


def _reason(error: Exception) -> str:
    """The machine's word for it, for example "forbidden"; HTTP's own if the answer has none."""
    found = next(_reasons(error), "")
    status = _status(error)
    if found or status is None:
        return found
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def _reasons(error: Exception) -> Iterator[str]:
    details: Any = getattr(error, "errors", ())
    if not details and isinstance(error, api.GoogleAPICallError) and error.response is not None:
        # Uploads and downloads leave it in the answer, which need not be JSON.
        with suppress(ValueError, TypeError, LookupError, RuntimeError):
            details = error.response.json()["error"]["errors"]
    for one in details or ():
        if isinstance(one, dict) and one.get("reason"):
            yield str(one["reason"])


def _gist(error: Exception) -> str:
    """One line; the rest may hold requests and answers."""
    if isinstance(error, DataCorruption):
        return "the bytes that arrived are not those that were sent (crc32c)"
    # An authentication error's further arguments are the answer itself.
    first = error.args[0] if error.args else ""
    text = str(first).partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
