"""What went wrong before S3 itself was asked: certificates, keys, tokens, roles."""

from __future__ import annotations

import re

from slipway.errors import SlipwayError, TerminalError, TransientError

# How obstore words what a provider of keys raised; the rest is our own error's text.
_PROVIDER = re.compile(r"External AWS credential provider: (\w+): (.*?) -> (.*)")
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(\w+)|invalid peer certificate: (\w+)")
_METADATA = re.compile(r"http\S+/latest/(?:api/token|meta-data/iam/security-credentials)")
_ROLE_REQUEST = "performing POST REDACTED"  # obstore keeps the token out of the address
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_PASSING = {408, 429}
_FIRST_SERVER_ERROR = 500
NO_KEYS_HINT = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or AWS_ROLE_ARN and "
    "AWS_WEB_IDENTITY_TOKEN_FILE, or give this machine a role; in Airflow, the connection's login "
    "and password, profile_name or role_arn."
)
_CERTIFICATE_HINT = (
    "Give the CA bundle that signed it: AWS_CA_BUNDLE=/path/ca.pem, or verify in the connection's "
    "extra. Without any verification, for a test: verify false, or SLIPWAY_S3_VERIFY=false."
)
_CERTIFICATE_SAYS = {
    "UnknownIssuer": "its certificate is signed by an authority that is not known here",
    "Expired": "its certificate has expired",
    "NotValidYet": "its certificate is not valid yet",
    "NotValidForName": "its certificate is for another name",
    "NotValidForNameContext": "its certificate is for another name",
}


def login_error(text: str, failed: str, where: str) -> SlipwayError | None:
    """What such an error of obstore means; None if it is about S3 itself.

    Args:
        text: The whole error.
        failed: What could not be done, for the message.
        where: The address that it was about.
    """
    if told := _PROVIDER.search(text):
        kind = TransientError if told[1] == "TransientError" else TerminalError
        return kind(f"{failed}: {told[2]}", hint=told[3], subject=where)
    if found := _CERTIFICATE.search(text):
        reason = found[1] or found[2]
        says = _CERTIFICATE_SAYS.get(reason, f"its certificate is not valid ({reason})")
        return TerminalError(
            f"{failed}: the server is not believed, {says}.",
            hint=_CERTIFICATE_HINT,
            subject=where,
            details={"code": "certificate"},
        )
    if _METADATA.search(text):
        return TerminalError(
            f"{failed}: no keys are given, and this machine has no role that gives some.",
            hint=NO_KEYS_HINT,
            subject=where,
            details={"code": "credentials"},
        )
    if _ROLE_REQUEST in text:
        return _of_token_service(text, failed, where)
    return None


def _of_token_service(text: str, failed: str, where: str) -> SlipwayError:
    status = int(found[1]) if (found := _STATUS.search(text)) else None
    code = found[1] if (found := _CODE.search(text)) else None
    message = f"{failed}: the role of AWS_ROLE_ARN was not given to this web identity"
    if status is None or status >= _FIRST_SERVER_ERROR or status in _PASSING:
        return TransientError(
            f"{message}: {status or 'no answer'}.",
            hint="Check that Amazon's token service can be reached, then run the task again.",
            subject=where,
        )
    return TerminalError(
        f"{message}: {status} {code or ''}".rstrip() + ".",
        hint="Let the role's trust policy name this service account, and check that the token of "
        "AWS_WEB_IDENTITY_TOKEN_FILE is for sts.amazonaws.com and has not expired.",
        subject=where,
        details={"code": code},
    )
