"""An SQS queue as a source."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from slipway.errors import SlipwayError, TerminalError, TransientError
from slipway.events.source import IDLE_WAIT_SECONDS, Batch, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

_AT_ONCE = 10  # of SQS, for receiving and for deleting
_MOST = 200
# Longer, and the first of a burst would be visible again before the last is written down.
_COLLECT_SECONDS = 3.0
_TERMINAL = ("NonExistentQueue", "QueueDoesNotExist", "AccessDenied", "InvalidAddress", "Invalid")


class SqsSource(Source):
    """Waits by long polling: an idle queue costs 180 requests an hour.

    Args:
        name: Of the source.
        client: boto3's client for SQS.
        queue: The queue's name or URL.
    """

    def __init__(self, name: str, client: Any, queue: str) -> None:
        self.name = name
        self._client = client
        self._queue = queue
        self._url = queue if "://" in queue else ""

    def receive(self, wait_seconds: float | None) -> Batch:
        """See `Source`; a burst comes as one batch."""
        wait = IDLE_WAIT_SECONDS if wait_seconds is None else wait_seconds
        batch = Batch()
        handles: list[tuple[str, str]] = []
        more, until = True, math.inf
        while more and len(handles) < _MOST and time.monotonic() < until:
            seconds = 0 if handles else min(round(wait), int(IDLE_WAIT_SECONDS))
            messages = self._receive(seconds)
            for message in messages:
                body = str(message.get("Body", ""))
                batch.read(body)
                handles.append((message["ReceiptHandle"], body))
            more = len(messages) == _AT_ONCE
            until = min(until, time.monotonic() + _COLLECT_SECONDS)
        batch.done = lambda kept: self._delete([h for h, body in handles if body not in kept])
        return batch

    def _receive(self, seconds: int) -> list[dict[str, Any]]:
        answer = self._call(
            "receive_message", MaxNumberOfMessages=_AT_ONCE, WaitTimeSeconds=seconds
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    def _delete(self, handles: Sequence[str]) -> None:
        """What cannot be deleted comes again and is known by then."""
        for start in range(0, len(handles), _AT_ONCE):
            some = handles[start : start + _AT_ONCE]
            entries = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(some)]
            self._call("delete_message_batch", Entries=entries)

    def _call(self, action: str, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            if not self._url:
                self.requests += 1
                self._url = self._client.get_queue_url(QueueName=self._queue)["QueueUrl"]
            self.requests += 1
            answer: dict[str, Any] = getattr(self._client, action)(QueueUrl=self._url, **arguments)
        except (BotoCoreError, ClientError) as error:
            raise self._told(action, error) from None
        return answer

    def _told(self, action: str, error: Exception) -> SlipwayError:
        code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
        message = f"{action} on the queue {self._queue} failed: {error}"
        if any(known in code for known in _TERMINAL):
            hint = "check the queue's name, region and the rights to receive and delete"
            return TerminalError(message, hint=hint, subject=self._queue)
        hint = "nothing is lost; it is tried again"
        return TransientError(message, hint=hint, subject=self._queue)
