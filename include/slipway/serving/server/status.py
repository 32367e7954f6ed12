"""The status codes that requests and versions end with, as TensorFlow Serving reports them."""

from __future__ import annotations

from typing import Literal

Code = Literal[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]

# Source: ToHTTPStatusCode in tensorflow_serving/model_servers/http_server.cc.
_HTTP: dict[Code, int] = {
    "OK": 200,
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}

_BY_NUMBER: dict[int, Code] = {
    1: "CANCELLED",
    2: "UNKNOWN",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND",
    6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    10: "ABORTED",
    11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    14: "UNAVAILABLE",
    15: "DATA_LOSS",
    16: "UNAUTHENTICATED",
}


class StatusError(Exception):
    """A request or a version that failed, as a client of TensorFlow Serving would see it.

    This is an answer, not a failure of Slipway, so it is no SlipwayError: it never leaves the
    server except as an HTTP reply or a version's status.

    Args:
        code: The canonical code, for example ``NOT_FOUND``.
        message: What the client reads in ``{"error": message}``.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def http_status(code: Code) -> int:
    """The HTTP status that TensorFlow Serving answers for a code."""
    return _HTTP.get(code, 500)


def as_status(error: BaseException) -> StatusError:
    """Any exception as a status: TensorFlow's keep their code, Slipway's keep their advice."""
    if isinstance(error, StatusError):
        return error
    number = getattr(error, "error_code", None)
    if isinstance(number, int):
        return StatusError(_BY_NUMBER.get(number, "UNKNOWN"), str(getattr(error, "message", error)))
    if getattr(error, "kind", None) == "transient":
        return StatusError("UNAVAILABLE", str(error))
    return StatusError("INTERNAL", f"{type(error).__name__}: {error}")
