"""Which events from outside start a model's runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat, field_validator, model_validator

from slipway.spec.base import SpecModel

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUBSCRIPTION = re.compile(r"projects/[^/]+/subscriptions/[^/]+")
_PLACE = re.compile(r"(s3|gs)://[^/]+(/.*)?|file:///.+")


class SqsEvents(SpecModel):
    """An SQS queue that brings S3's notifications, or Slipway's own messages."""

    queue: str = Field(min_length=1, description="Name or URL of the queue.")
    connection: str = Field("aws_default", description="Airflow connection of the queue.")


class PubsubEvents(SpecModel):
    """A Pub/Sub subscription that brings GCS's notifications, or Slipway's own messages."""

    subscription: str = Field(description="projects/<project>/subscriptions/<name>.")
    connection: str = Field(
        "google_cloud_default", description="Airflow connection of the subscription."
    )

    @field_validator("subscription")
    @classmethod
    def _is_whole(cls, value: str) -> str:
        if not _SUBSCRIPTION.fullmatch(value):
            msg = f"found {value!r}; allowed: projects/<project>/subscriptions/<name>"
            raise ValueError(msg)
        return value


class BucketEvents(SpecModel):
    """A bucket that is listed again and again, where there are no notifications."""

    uri: str | None = Field(
        None,
        description="What is listed: incoming.uri or a folder above it, so that one poller serves "
        "several models; null: incoming.uri.",
    )
    poll_seconds: PositiveFloat = Field(
        30.0, description="From one listing to the next, in seconds."
    )

    @field_validator("uri")
    @classmethod
    def _is_a_place(cls, value: str | None) -> str | None:
        if value is not None and not _PLACE.fullmatch(value):
            msg = f"found {value!r}; allowed: s3://, gs:// or file:/// with a folder"
            raise ValueError(msg)
        return value.rstrip("/") if value else None


class EventSpec(SpecModel):
    """One source of events: one of its fields is given."""

    sqs: SqsEvents | None = Field(None, description="An SQS queue.")
    pubsub: PubsubEvents | None = Field(None, description="A Pub/Sub subscription.")
    bucket: BucketEvents | None = Field(None, description="A bucket that is polled.")
    asset: str | None = Field(
        None,
        min_length=1,
        description="Name or URI of an Airflow asset: each of its events starts a build.",
    )

    @model_validator(mode="after")
    def _is_one(self) -> EventSpec:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            msg = (
                f"found {', '.join(given) or 'nothing'}; allowed: one of sqs, pubsub, bucket, asset"
            )
            raise ValueError(msg)
        return self

    @property
    def is_source(self) -> bool:
        """Whether Slipway itself waits for it; an asset is Airflow's."""
        return self.asset is None


def event_problem(
    events: Sequence[EventSpec], incoming: str | None, schedule: str | None
) -> str | None:
    """What is wrong with a spec's events beside its other fields; None if nothing.

    Args:
        events: The spec's.
        incoming: Where its models are dropped.
        schedule: Its schedule by time.
    """
    for number, event in enumerate(events):
        if event.bucket is not None:
            place = event.bucket.uri
            if incoming is None:
                return f"events.{number}.bucket: needs incoming.uri, where models are dropped"
            if place is not None and f"{incoming.rstrip('/')}/".find(f"{place}/") != 0:
                return (
                    f"events.{number}.bucket.uri: incoming.uri {incoming} does not lie in {place}"
                )
    if any(event.asset for event in events) and schedule in {"@once", "@continuous"}:
        return f"events: schedule {schedule} cannot stand beside an asset; use a cron expression"
    return None


def source_of(event: EventSpec, incoming: str | None, connection: str) -> dict[str, Any] | None:
    """What makes a source the same for several models; None for an asset.

    Args:
        event: The spec's.
        incoming: Where its models are dropped.
        connection: Airflow connection of that bucket.
    """
    if event.sqs is not None:
        return {"kind": "sqs", **event.sqs.model_dump()}
    if event.pubsub is not None:
        return {"kind": "pubsub", **event.pubsub.model_dump()}
    if event.bucket is not None:
        place = {"uri": event.bucket.uri or incoming, "poll_seconds": event.bucket.poll_seconds}
        return {"kind": "bucket", **place, "connection": connection}
    return None
