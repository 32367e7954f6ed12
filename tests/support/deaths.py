"""Kills a process at every step of its work, and then at random instants."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.dying import Death

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from support.dying import Steps

# Three kinds of work with so many kills each make 300 for every store, at the least.
KILLS = 100
AT_RANDOM = 30
# About as long as one takes, so that every part of it is hit, and what comes after it.
_LATEST_SECONDS: dict[Steps, float] = {"request": 0.008, "change": 0.001}
_EVERY = 20


@dataclass
class Kills:
    """How a sequence of kills goes.

    Args:
        name: Of the work, for the progress.
        kind: Of the place: "local", "s3" or "gcs".
        say: Told of the progress.

    Attributes:
        count: Processes killed.
        middle: How many of them left their work half done, as the test found.
    """

    name: str
    kind: str
    say: Callable[[str], None]
    count: int = 0
    middle: int = 0
    _last: dict[Steps, int] = field(default_factory=dict)

    def run(self, of: Sequence[Steps], work: Callable[[int, Death], bool]) -> None:
        """Kills at least `KILLS` times.

        Args:
            of: What a step is. Each is gone through from the first to the last.
            work: Called with the number of the turn, from 1, and the death; it says whether the
                process outlived it.
        """
        turns = itertools.count(1)
        for steps in of:
            for step in itertools.count(1):
                if self._kill(next(turns), Death(steps, step), work):
                    break
                if steps == "request":
                    self._kill(next(turns), Death(steps, step, "after"), work)
            self._last[steps] = step - 1
        self._kill_at_random(turns, work)
        self.say(f"{self}, the last one")

    def __str__(self) -> str:
        return f"{self.name}, {self.kind}: {self.count} killed, {self.middle} in the middle"

    def _kill_at_random(
        self, turns: itertools.count[int], work: Callable[[int, Death], bool]
    ) -> None:
        choice = random.Random(self.name + self.kind)
        goal = max(KILLS, self.count + AT_RANDOM)
        while self.count < goal:
            steps = choice.choice(list(self._last))
            seconds = choice.uniform(0, _LATEST_SECONDS[steps])
            death = Death(steps, choice.randint(1, self._last[steps]), "later", seconds)
            self._kill(next(turns), death, work)

    def _kill(self, turn: int, death: Death, work: Callable[[int, Death], bool]) -> bool:
        survived = work(turn, death)
        self.count += not survived
        if turn % _EVERY == 0:
            self.say(f"{self}; now {death}")
        return survived
