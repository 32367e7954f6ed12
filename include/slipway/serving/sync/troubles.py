"""Versions that could not be had: what stands in the way of each, and when to try again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.errors import SlipwayError, TransientError
from slipway.serving.download import DamagedObject
from slipway.serving.layout import MANIFEST_NAME

if TYPE_CHECKING:
    from slipway.serving.sync.metrics import FailureKind

_LONGEST_PAUSE_SECONDS = 3600.0
_LONGEST_PAUSE_OF_A_DISK_SECONDS = 600.0  # somebody may be making room


@dataclass(slots=True)
class _Trouble:
    error: Exception
    attempts: int
    not_before: float


class Troubles:
    """Pauses that grow with every attempt, so that a version that is damaged costs little.

    Args:
        interval: Seconds between two polls: the first pause.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._known: dict[int, _Trouble] = {}

    def add(
        self, version: int, kind: FailureKind, error: Exception, *, costly: bool = False
    ) -> None:
        """Notes one more failed attempt.

        Args:
            version: Which.
            kind: Of the failure.
            error: For whoever asks.
            costly: Whether something was downloaded for it: a quota or a limit on a file's size
                shows only then.
        """
        attempts = self._known[version].attempts + 1 if version in self._known else 1
        pause = min(self._interval * 2 ** (attempts - 1), _LONGEST_PAUSE_SECONDS)
        if kind in {"disk_full", "disk", "foreign"}:
            # Asking the disk costs no request.
            pause = min(pause, _LONGEST_PAUSE_OF_A_DISK_SECONDS) if costly else 0.0
        elif kind == "newer_schema":
            pause = float("inf")  # until the ledger changes, or this program does
        self._known[version] = _Trouble(error, attempts, time.monotonic() + pause)

    def waiting(self, version: int) -> Exception | None:
        """The error for which a version is not tried yet; None if it may be tried."""
        trouble = self._known.get(version)
        return trouble.error if trouble and time.monotonic() < trouble.not_before else None

    def over(self, version: int) -> None:
        """Forgets a version that is in place."""
        self._known.pop(version, None)

    def clear(self) -> None:
        """Forgets everything: the bucket has changed."""
        self._known.clear()


def kind_of(error: SlipwayError) -> FailureKind:
    """Under which kind an error of a version is counted."""
    if isinstance(error, DamagedObject):
        return "corrupt"
    if error.details.get("reason") == "newer_schema":
        return "newer_schema"
    subject = error.subject or ""
    refused = "code" in error.details or isinstance(error, TransientError)
    return "manifest" if subject.endswith(MANIFEST_NAME) and not refused else "store"
