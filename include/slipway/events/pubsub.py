"""A Pub/Sub subscription as a source."""

from __future__ import annotations

from typing import Any

from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.events.source import IDLE_WAIT_SECONDS, Batch, Source

_MOST = 200


class PubsubSource(Source):
    """Pulls; an idle subscription costs 180 requests an hour.

    Args:
        name: Of the source.
        client: A `google.cloud.pubsub_v1.SubscriberClient`.
        subscription: ``projects/<project>/subscriptions/<name>``.
    """

    def __init__(self, name: str, client: Any, subscription: str) -> None:
        self.name = name
        self._client = client
        self._subscription = subscription

    def receive(self, wait_seconds: float | None) -> Batch:
        """See `Source`."""
        wait = IDLE_WAIT_SECONDS if wait_seconds is None else min(wait_seconds, IDLE_WAIT_SECONDS)
        batch = Batch()
        handles = []
        for received in self._pull(max(wait, 0.5)):
            message = received.message
            body = message.data.decode(errors="replace")
            batch.read(body, dict(message.attributes))
            handles.append((received.ack_id, body))
        batch.done = lambda kept: self._acknowledge([h for h, body in handles if body not in kept])
        return batch

    def _pull(self, seconds: float) -> list[Any]:
        from google.api_core import exceptions as google
        from google.auth.exceptions import GoogleAuthError

        self.requests += 1
        try:
            answer = self._client.pull(
                subscription=self._subscription, max_messages=_MOST, timeout=seconds, retry=None
            )
        except google.DeadlineExceeded:  # nothing came
            return []
        except (google.GoogleAPIError, GoogleAuthError) as error:
            raise self._told("pull", error) from None
        return list(answer.received_messages)

    def _acknowledge(self, handles: list[str]) -> None:
        """What is not acknowledged comes again and is known by then."""
        from google.api_core import exceptions as google
        from google.auth.exceptions import GoogleAuthError

        if not handles:
            return
        self.requests += 1
        try:
            self._client.acknowledge(subscription=self._subscription, ack_ids=handles)
        except (google.GoogleAPIError, GoogleAuthError) as error:
            raise self._told("acknowledge", error) from None

    def _told(self, action: str, error: Exception) -> SlipwayError:
        from google.api_core import exceptions as google

        message = f"{action} on {self._subscription} failed: {error}"
        if isinstance(error, google.ClientError) and not isinstance(error, google.TooManyRequests):
            hint = "check the subscription's name and the role Pub/Sub Subscriber"
            return TerminalError(message, hint=hint, subject=self._subscription)
        hint = "nothing is lost; it is tried again"
        return TransientError(message, hint=hint, subject=self._subscription)
