"""What a spec may say of events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.spec.loader import SpecError, load_spec
from support.specs import write_spec

if TYPE_CHECKING:
    from pathlib import Path

INCOMING = "incoming: {uri: 's3://drops/tiny'}\n"


def problem(folder: Path, extra: str) -> str:
    with pytest.raises(SpecError) as error:
        load_spec(write_spec(folder, extra=extra))
    return str(error.value)


def test_several_sources_stand_beside_a_schedule(tmp_path: Path) -> None:
    events = "events: [{sqs: {queue: drops}}, {bucket: {poll_seconds: 5}}, {asset: data}]\n"
    spec = load_spec(write_spec(tmp_path, extra=INCOMING + events + "schedule: '@daily'\n"))
    assert [event.is_source for event in spec.events] == [True, True, False]


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("events: [{}]\n", "found nothing; allowed: one of sqs, pubsub, bucket, asset"),
        ("events: [{asset: a, sqs: {queue: q}}]\n", "found sqs, asset"),
        ("events: [{bucket: {}}]\n", "needs incoming.uri"),
        (INCOMING + "events: [{bucket: {uri: 's3://other'}}]\n", "does not lie in s3://other"),
        (INCOMING + "events: [{bucket: {uri: 's3://drops/ti'}}]\n", "does not lie in"),
        ("events: [{pubsub: {subscription: drops}}]\n", "projects/<project>/subscriptions"),
        ("events: [{asset: a}]\nschedule: '@once'\n", "cannot stand beside an asset"),
        ("events: [{sqs: {queue: q, region: x}}]\n", "unknown field"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(tmp_path: Path, extra: str, told: str) -> None:
    assert told in problem(tmp_path, extra)
