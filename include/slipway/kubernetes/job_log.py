"""A container's log, followed over broken lines: every line once."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_TAIL_LINES = 15


class LogReader:
    """Hands on each line of a log once, however often its end is asked for again.

    The API server can be asked for lines from a second on, so the lines of the last second come
    again. Those before the time of the last line are known; of those with the same time, as many
    as were handed on.

    Args:
        on_line: Called with each line, without its time.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.on_line = on_line
        self.since = ""
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._at_since = 0

    def read(self, lines: Iterable[str]) -> None:
        """Take lines with their times, from `since` on or from any second before it."""
        last, again = self.since, self._at_since
        for stamped in lines:
            time, _, line = stamped.partition(" ")
            # The times have nine decimals and are UTC, unless a runtime leaves zeros out.
            if last and _order(time) < _order(last):
                continue
            if time == last and again:
                again -= 1
                continue
            self._at_since = self._at_since + 1 if time == self.since else 1
            self.since = time
            self.tail.append(line)
            self.on_line(line)


def _order(time: str) -> tuple[str, str]:
    seconds, _, fraction = time.removesuffix("Z").partition(".")
    return seconds, fraction.ljust(9, "0")
