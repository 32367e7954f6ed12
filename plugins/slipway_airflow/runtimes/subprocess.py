"""A step as a process on the worker's machine, by this Python or the one that the spec names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.process import StepProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slipway.contracts import StepRequest, StepResult
    from slipway.spec.execution import JobSpec
    from slipway.spec.model import ModelSpec


class SubprocessRuntime:
    """Runs a step in a process group of its own.

    Args:
        spec: Names the interpreter and the time limit.
        options: None; this place has no options of its own.
    """

    def __init__(self, spec: ModelSpec, options: JobSpec | None = None) -> None:
        del options
        self.execution = spec.execution
        self._process: StepProcess | None = None

    def run(
        self,
        request: StepRequest,
        *,
        environment: Mapping[str, str],
        on_line: Callable[[str], None],
    ) -> StepResult:
        """Run the step to its end; see Runtime."""
        self._process = StepProcess(
            request,
            python=self.execution.python,
            environment=environment,
            timeout_seconds=self.execution.step_timeout_seconds,
            on_line=on_line,
        )
        return self._process.run()

    def stop(self) -> None:
        """End the step's process group."""
        if self._process is not None:
            self._process.stop()
