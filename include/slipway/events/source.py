"""What a source of events promises the watcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slipway.events.book import SetAside
from slipway.events.messages import MessageError, Notice, parse_message

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

IDLE_WAIT_SECONDS = 20.0
"""The longest that SQS lets a request wait for a message: 180 requests an hour when idle."""


def _nothing(kept: Collection[str]) -> None:
    pass


@dataclass
class Batch:
    """What one look at a source brought.

    Attributes:
        notices: What messages say, each with its message.
        refused: What was set aside at once.
        done: Takes the messages off the queue; called once all is written down, with those of
            them that stay, to come again: of a model whose bucket could not be had.
    """

    notices: list[tuple[Notice, str]] = field(default_factory=list)
    refused: list[SetAside] = field(default_factory=list)
    done: Callable[[Collection[str]], None] = _nothing

    def read(self, body: str, attributes: dict[str, str] | None = None) -> None:
        """Adds a message: what it says, or why it is set aside."""
        try:
            self.notices += [(notice, body) for notice in parse_message(body, attributes)]
        except MessageError as error:
            self.refused.append(SetAside.of(str(error), body))


class Source(ABC):
    """Where messages come from.

    Attributes:
        name: Unique among all sources; also the name of its log.
        quiet: Whether objects that are nobody's are no news: a bucket that is listed over and over
            may hold whatever else it likes.
        requests: Requests made to it so far.
    """

    name: str
    quiet: bool = False
    requests: int = 0

    @abstractmethod
    def receive(self, wait_seconds: float | None) -> Batch:
        """Waits for messages.

        Args:
            wait_seconds: At most this long; None: as long as suits the source, at most
                `IDLE_WAIT_SECONDS`.

        Raises:
            SlipwayError: The source cannot be read.
        """
