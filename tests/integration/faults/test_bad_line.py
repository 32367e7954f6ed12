"""A line on which hardly anything gets through: issue 3, done when 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.lives import as_airflow, everything_is_well, live, schedule

if TYPE_CHECKING:
    from pathlib import Path

    from support.clouds import Cloud


def test_on_a_line_that_hardly_works_runs_are_repeated_and_nothing_is_torn(
    cloud: Cloud, tmp_path: Path
):
    faults = schedule(cloud, 3, rate=0.35, most=None)
    live(cloud, tmp_path, as_airflow)
    print(dict(faults.done), len(cloud.front.seen), "requests")  # noqa: T201 - see -s
    assert faults.done.total() > len(cloud.front.seen) / 5
    everything_is_well(cloud, tmp_path)
