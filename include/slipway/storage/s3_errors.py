"""What an error of an S3 endpoint means, and what to do about it."""

from __future__ import annotations

import re
from http import HTTPStatus

from obstore import exceptions

from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.storage.s3_login_errors import login_error

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_REGION = "Set AWS_REGION, or the connection's region_name, to the region of the bucket."
# AWS redirects a request for a bucket of another region without saying where to.
_REDIRECT = "redirect without LOCATION"
_HINTS = {
    "NotImplemented": "This server lacks what S3 has; conditional writes are the usual reason.",
    "InvalidAccessKeyId": "Check AWS_ACCESS_KEY_ID: this endpoint does not know the key.",
    "SignatureDoesNotMatch": "Check AWS_SECRET_ACCESS_KEY: it does not belong to the key's id.",
    "ExpiredToken": "Get new temporary keys: these have expired. A task assumes its connection's "
    "role anew when it is cleared; assume_role_kwargs.DurationSeconds makes the keys last longer.",
    "InvalidToken": "Check AWS_SESSION_TOKEN: it does not belong to these keys.",
    "RequestTimeTooSkewed": "Set this machine's clock: signatures hold for a quarter of an hour.",
    "RequestExpired": "Set this machine's clock: signatures hold for a quarter of an hour.",
    "InvalidBucketName": "Correct the bucket's name in publish.base_uri.",
    "NoSuchBucket": "Create the bucket, or correct its name in publish.base_uri.",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
}
_PERMISSIONS = {
    "list": "s3:ListBucket",
    "write": "s3:PutObject",
    "delete": "s3:DeleteObject",
}
# Redirects, requests that stay wrong, what is not implemented; timeouts, conflicts and throttling
# may pass.
_FINAL_STATUS = set(range(300, 500)) - {408, 409, 429} | {501}
# AWS words some of them as a refusal: 400 for an upload that stood still, 403 for throttling.
_PASSING = {
    "BandwidthLimitExceeded",
    "RequestLimitExceeded",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
}


def refuse_missing_bucket(error: FileNotFoundError) -> None:
    """Raises the error again if it is the bucket that is missing, not just the object."""
    if "NoSuchBucket" in str(error):
        raise error


def translated(error: Exception, action: str, where: str, who: str = "") -> SlipwayError:
    """Returns what an error of obstore means; nothing of request or answer but status and code.

    Args:
        error: As obstore raised it.
        action: "read", "write", "list" or "delete".
        where: The address that it was about.
        who: Whom it was asked as, for the message.
    """
    text = str(error)
    if before := login_error(text, f"Could not {action} {where}{who}", where):
        return before
    status = int(found[1]) if (found := _STATUS.search(text)) else None
    code = found[1] if (found := _CODE.search(text)) else None
    if _REDIRECT in text:
        status, code = 301, "PermanentRedirect"
    answer = (
        f"{status} {code or ''}".strip()
        if status
        else text.partition("\n")[0].removeprefix("Generic S3 error: ")
    )
    message = f"Could not {action} {where}{who}: {answer}."
    refused = isinstance(
        error,
        exceptions.PermissionDeniedError | exceptions.UnauthenticatedError | FileNotFoundError,
    )
    if (refused or status in _FINAL_STATUS) and code not in _PASSING:
        hint = _HINTS.get(code or "", _unknown(status, action))
        return TerminalError(message, hint=hint, subject=where, details={"code": code})
    return TransientError(
        message,
        hint="Check that the endpoint is up and can be reached, then run the task again.",
        subject=where,
        details={"code": code},
    )


def _unknown(status: int | None, action: str) -> str:
    if status == HTTPStatus.FORBIDDEN and action == "read":
        # To who may not list, AWS does not say that there is no such object.
        return "Grant the key s3:GetObject on the bucket, and s3:ListBucket."
    if status == HTTPStatus.FORBIDDEN:
        return f"Grant the key {_PERMISSIONS[action]} on the bucket."
    return f"Check that the key may {action} there, and the address."
