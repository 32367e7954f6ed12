"""What every place to run a step promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slipway.contracts import StepRequest, StepResult


class Runtime(Protocol):
    """Runs one step at a time, away from the worker's own process."""

    def run(
        self,
        request: StepRequest,
        *,
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> StepResult:
        """Run the step to its end.

        Args:
            request: What to run.
            environment: Added to the step's environment; may hold secrets and is never logged.
            on_line: Called with each line that the step prints, as it comes.

        Raises:
            SlipwayError: the step's own failure, or how its process ended.
        """

    def stop(self) -> None:
        """End the step and everything that it started; safe to call at any time."""
