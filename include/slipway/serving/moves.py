"""Moves of channels as the ledger knows them: what keeps retention away, and tells followers.

A mover announces its move in the ledger, then moves the channel, then notes it there. Retention
removes a version by a change of the same ledger, so one of the two comes first: either the version
is removed and the move is refused before the channel is touched, or the move is announced and the
version stays. A mover that died leaves its announcement; the next move of the channel clears it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.errors import TerminalError
from slipway.serving.layout import Layout
from slipway.serving.ledger import Ledger, Move
from slipway.serving.ledger_changes import change_ledger

if TYPE_CHECKING:
    from slipway.serving.layout import ChannelName
    from slipway.storage import Store


def announce_move(
    store: Store, model: str, channel: ChannelName, generation: int, version: int
) -> None:
    """Keeps a version from being removed, for a channel that is about to point to it.

    Args:
        store: Open at the base URI.
        model: The model's name.
        channel: The channel.
        generation: That the channel will have.
        version: To which it will point.

    Raises:
        TerminalError: The version is removed; nothing was changed.
        TransientError: Too many others wrote at the same time.
    """
    move = Move(channel=channel, generation=generation, version=version)

    def change(ledger: Ledger) -> Ledger:
        entry = ledger.versions.get(version)
        if entry is not None and entry.state == "removed":
            raise TerminalError(
                f"Version {version} of {model} at {store.uri} was removed by retention.",
                hint="Roll out a version that is kept (`slipway versions`), or publish its content "
                "again: it gets a new number.",
                subject=Layout(model).version_prefix(version),
            )
        if move in ledger.moves:
            return ledger
        # Behind what is noted is only a channel that a person has deleted: it counts anew.
        noted = min(ledger.channels.get(channel, 0), generation - 1)
        return _changed(ledger, channel, noted, (*ledger.moves, move))

    change_ledger(store, model, change)


def note_move(
    store: Store, model: str, channel: ChannelName, generation: int, version: int | None
) -> None:
    """Notes that a channel has moved, for those who follow the ledger; a second call does nothing.

    Raises:
        TransientError: Too many others wrote at the same time.
    """

    def change(ledger: Ledger) -> Ledger:
        if ledger.channels.get(channel, 0) >= generation:
            return ledger
        kept = tuple(
            move
            for move in ledger.moves
            if move.channel != channel
            or move.generation > generation
            or (move.generation, move.version) == (generation, version)
        )
        return _changed(ledger, channel, generation, kept)

    change_ledger(store, model, change)


def _changed(ledger: Ledger, channel: str, noted: int, moves: tuple[Move, ...]) -> Ledger:
    return ledger.model_copy(
        update={
            "generation": ledger.generation + 1,
            "channels": {**ledger.channels, channel: noted},
            "moves": moves,
        }
    )
