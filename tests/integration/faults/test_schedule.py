"""Publish, follow, promote and clear up over a bad line: issue 3, done when 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.serving.upkeep.fsck import check
from support.clouds import cloud_behind_gateway
from support.following import MODEL
from support.gateway import amazon_error
from support.lives import LARGE, everything_is_well, live, put, schedule, write

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from support.clouds import Cloud


def test_what_goes_wrong_now_and_then_is_not_even_noticed(cloud: Cloud, tmp_path: Path):
    faults = schedule(cloud, 1, rate=0.25, most=2)
    live(cloud, tmp_path, lambda action: action())
    print(dict(faults.done), len(cloud.front.seen), "requests")  # noqa: T201 - see -s
    assert {"CutRequest", "CutAnswer", "Delay"} < set(faults.done)
    assert faults.done.total() > len(cloud.front.seen) / 10
    everything_is_well(cloud, tmp_path)


def test_a_slow_line_is_no_silent_server(cloud: Cloud, tmp_path: Path):
    folder = write(tmp_path, LARGE)
    cloud.front.bytes_per_second = 2e6
    put(cloud.behind(), folder)
    sent = [path for method, path in cloud.front.seen if method == "PUT" and "partNumber" in path]
    sent += [path for method, path in cloud.front.seen if method == "PUT" and "upload_id" in path]
    assert len(sent) == (2 if cloud.kind == "s3" else 1), "something was sent twice"
    assert check(cloud.direct, MODEL, deep=True).findings == ()


def test_a_commit_that_gave_way_to_another_which_never_came_is_made_after_all(
    request: pytest.FixtureRequest, tmp_path: Path
):
    gave_way = amazon_error(409, "ConditionalRequestConflict")
    with cloud_behind_gateway("s3", request) as cloud:
        cloud.front.rule = lambda method, path: (
            gave_way
            if path.endswith("slipway.json")
            and cloud.front.seen.count((method, path)) == 1
            and method == "PUT"
            else None
        )
        published = put(cloud.behind(), write(tmp_path, 1))
        assert cloud.front.count("PUT", "slipway.json") == 2
        assert (published.version, published.already_published) == (1, False)
        assert check(cloud.direct, MODEL, deep=True).findings == ()
