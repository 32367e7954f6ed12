"""A log that is asked for again and again: every line once, none lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slipway.kubernetes.job_log import LogReader


def second(stamped: str) -> str:
    return stamped[:19]


@given(
    st.lists(st.integers(0, 2_500_000_000), min_size=1, max_size=30),
    st.lists(st.integers(0, 30), max_size=6),
)
def test_every_line_comes_once_however_often_the_stream_breaks(
    times: list[int], breaks: list[int]
) -> None:
    log = [
        f"2026-01-01T00:00:{at // 10**9:02}.{at % 10**9:09}Z line {number}"
        for number, at in enumerate(sorted(times))
    ]
    heard: list[str] = []
    reader = LogReader(heard.append)
    for upto in [*sorted(breaks), len(log)]:
        # What the API server sends: from that second on, as much as there was until it broke.
        since = reader.since
        reader.read(line for line in log[:upto] if not since or second(line) >= second(since))
    assert heard == [f"line {number}" for number in range(len(log))]


def test_times_with_and_without_trailing_zeros_are_the_same_order() -> None:
    heard: list[str] = []
    reader = LogReader(heard.append)
    reader.read(["2026-01-01T00:00:01.5Z a", "2026-01-01T00:00:01.500000001Z b"])
    reader.read(["2026-01-01T00:00:01.5Z a", "2026-01-01T00:00:01.500000001Z b"])
    reader.read(["2026-01-01T00:00:01.500000001Z b", "2026-01-01T00:00:02Z c"])
    assert heard == ["a", "b", "c"]
