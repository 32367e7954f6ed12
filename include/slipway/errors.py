"""Every error that Slipway raises on purpose: terminal or transient, always with a way out."""

from __future__ import annotations

from typing import Any, Literal

ErrorKind = Literal["terminal", "transient"]


class SlipwayError(Exception):
    """Base of all errors that are part of Slipway's interface.

    Raise one of the two subclasses, never this class: whoever catches it must know whether trying
    again can help.

    Args:
        message: One sentence: what was tried, on what, and how it failed.
        hint: What to do next.
        subject: The field, file, tensor, variant or address that the error is about.
        details: JSON-compatible facts for a program that reads the error.
    """

    kind: ErrorKind

    def __init__(
        self,
        message: str,
        *,
        hint: str,
        subject: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.subject = subject
        self.details = details or {}

    def __str__(self) -> str:
        return f"{self.message} -> {self.hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.hint, self.subject, self.details))


class TerminalError(SlipwayError):
    """Trying again with the same input cannot help."""

    kind = "terminal"


class TransientError(SlipwayError):
    """The same call may succeed later: a dead endpoint, a timeout, a killed process."""

    kind = "transient"


def _rebuild(
    error: type[SlipwayError],
    message: str,
    hint: str,
    subject: str | None,
    details: dict[str, Any],
) -> SlipwayError:
    return error(message, hint=hint, subject=subject, details=details)
