"""Run a build without Airflow: the same steps, in the same order, in the same processes."""

from __future__ import annotations

import os
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from slipway.contracts import StepFailure, StepOutcome
from slipway.errors import SlipwayError
from slipway.process import StepProcess
from slipway.requests import build_request
from slipway.spec.variants import ORIGINAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from slipway.contracts import StepRequest, StepResult
    from slipway.spec.model import ModelSpec
    from slipway.spec.plan import PlannedStep


class Running(Protocol):
    """A step at work, wherever that is."""

    def run(self) -> StepResult:
        """Run it to its end."""

    def stop(self) -> None:
        """End it and all that it started."""


class Watcher(Protocol):
    """Who wants to know how a build goes. Called from several threads."""

    def started(self, step: PlannedStep) -> None:
        """A step begins."""

    def said(self, step: PlannedStep, line: str) -> None:
        """A step printed a line."""

    def ended(self, step: PlannedStep, outcome: StepOutcome | None) -> None:
        """A step ended; None: it was left out, because a step before it failed."""


@dataclass
class Build:
    """One run of a plan.

    Attributes:
        spec: The spec.
        spec_file: Its file.
        plan: The steps, in an order in which they can run.
        workspace: Where artifacts are kept.
        run_id: Name of this run in manifests.
        watcher: Told of every step.
        force: Run steps although their results are known.
        parameters: More that belongs to this run alone, as a dropped model that it is for.
        outcomes: How each step ended, by task id.
    """

    spec: ModelSpec
    spec_file: Path
    plan: Sequence[PlannedStep]
    workspace: Path
    run_id: str
    watcher: Watcher
    force: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    outcomes: dict[str, StepOutcome] = field(default_factory=dict)
    _over: set[str] = field(default_factory=set)
    _processes: dict[str, Running] = field(default_factory=dict)
    _interrupted: Event = field(default_factory=Event)

    def run(self) -> dict[str, StepOutcome]:
        """Run every step that can run; how each ended, by task id.

        Interrupted, it ends the steps that are running and leaves nothing half made: the next
        run goes on where this one stopped.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        waiting = list(self.plan)
        running: dict[Future[StepOutcome], PlannedStep] = {}
        pool = ThreadPoolExecutor(self.spec.execution.parallel_steps)
        try:
            while waiting or running:
                for step in [step for step in waiting if self._is_due(step)]:
                    waiting.remove(step)
                    if self._can_run(step):
                        running[pool.submit(self._run_with_retries, step)] = step
                    else:
                        self._over.add(step.task_id)
                        self.watcher.ended(step, None)
                if not running:
                    continue
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    step = running.pop(future)
                    self._finish(step, future.result())
        finally:
            self._interrupted.set()
            for process in list(self._processes.values()):
                process.stop()
            pool.shutdown(cancel_futures=True)
        return self.outcomes

    @property
    def logs(self) -> Path:
        """Folder with what each step printed, `<task id>.log`."""
        return self.workspace / "logs" / self.run_id

    def _is_due(self, step: PlannedStep) -> bool:
        return self._over.issuperset(step.needs)

    def _can_run(self, step: PlannedStep) -> bool:
        succeeded = {task for task, outcome in self.outcomes.items() if outcome.result}
        return step.tolerant or succeeded.issuperset(step.needs)

    def _finish(self, step: PlannedStep, outcome: StepOutcome) -> None:
        self.outcomes[step.task_id] = outcome
        self._over.add(step.task_id)
        self.watcher.ended(step, outcome)

    def _run_with_retries(self, step: PlannedStep) -> StepOutcome:
        self.watcher.started(step)
        outcome = self._attempt(step)
        for _ in range(self.spec.execution.retries):
            if outcome.failure is None or outcome.failure.kind == "terminal":
                break
            delay = self.spec.execution.retry_delay_seconds
            self.watcher.said(step, f"trying again in {delay} s: {outcome.failure.message}")
            if self._interrupted.wait(delay):
                break
            outcome = self._attempt(step)
        return outcome

    def _attempt(self, step: PlannedStep) -> StepOutcome:
        try:
            process = self._process(step, self._request(step))
            self._processes[step.task_id] = process
            return StepOutcome(result=process.run())
        except SlipwayError as error:
            return StepOutcome(failure=StepFailure.of(error))
        finally:
            self._processes.pop(step.task_id, None)

    def _process(self, step: PlannedStep, request: StepRequest) -> Running:
        execution = self.spec.execution
        options = execution.runtimes.get(self.spec.runtime_of(step.step, step.variant))
        if options is None:
            return StepProcess(
                request,
                python=execution.python,
                timeout_seconds=execution.step_timeout_seconds,
                on_line=lambda line: self._heard(step, line),
            )
        from slipway.kubernetes.jobs import JobProcess

        return JobProcess(
            request,
            options,
            workspace_uri=execution.workspace_uri or "",
            environment=os.environ,
            timeout_seconds=execution.step_timeout_seconds,
            on_line=lambda line: self._heard(step, line),
        )

    def _heard(self, step: PlannedStep, line: str) -> None:
        self.watcher.said(step, line)
        with (self.logs / f"{step.task_id}.log").open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")

    def _request(self, step: PlannedStep) -> StepRequest:
        return build_request(
            self.spec,
            self.spec_file,
            step,
            self.outcomes,
            workspace=self.workspace,
            parameters={"run_id": self.run_id, **self.parameters},
            force=self.force,
        )


def what_stopped(
    plan: Sequence[PlannedStep], outcomes: Mapping[str, StepOutcome]
) -> StepFailure | None:
    """The failure that a build ended with; None if its last step succeeded.

    What stopped the original comes before what the steps after it then said.
    """
    last = outcomes.get(plan[-1].task_id)
    if last is not None and last.failure is None:
        return None
    failed = [step for step in plan if step.task_id in outcomes and outcomes[step.task_id].failure]
    first = [step for step in failed if step.step == "check" or step.variant == ORIGINAL]
    cause = (first or failed[-1:])[0]
    return outcomes[cause.task_id].failure
