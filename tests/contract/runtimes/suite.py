"""What every place to run a step must do: subclass it and give it a `place`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from slipway.errors import TerminalError, TransientError
from slipway.spec.model import ModelSpec
from support.kubernetes.cluster import until
from support.kubernetes.jobs import train_request
from support.techniques import TINY

if TYPE_CHECKING:
    from pathlib import Path

    from slipway_airflow.runtimes.base import Runtime

_SLOW = "import time\nprint('begun', flush=True)\ntime.sleep(300)\n"


class Place(Protocol):
    """A runtime and what is left of its steps."""

    def runtime(self, spec: ModelSpec) -> Runtime:
        """The runtime."""

    def execution(self) -> dict[str, Any]:
        """What the spec says about it."""

    def is_empty(self) -> bool:
        """Whether nothing runs any more."""


class RuntimeContract:
    """Inherit it, override `place`."""

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    def spec(self, place: Place, **execution: Any) -> ModelSpec:
        return ModelSpec.model_validate(
            {
                "model": "tiny",
                "definition": "tiny",
                "gates": {"metrics": {"accuracy": {"floor": 0.5}}},
                "objective": {"maximise": "accuracy"},
                "publish": {"base_uri": "s3://models"},
                "rollout": {"health": {"checks": {"error_ratio": {"largest": 0.01}}}},
                "execution": place.execution() | execution,
            }
        )

    def test_gives_the_result_and_each_line(self, place: Place, tmp_path: Path):
        lines: list[str] = []
        request = train_request(tmp_path, TINY.read_text())
        runtime = place.runtime(self.spec(place))
        result = runtime.run(request, environment={}, on_line=lines.append)
        assert result.artifact is not None
        assert result.artifact.path.is_relative_to(tmp_path)
        assert (result.artifact.servable / "saved_model.pb").is_file()
        assert any("examples to train" in line for line in lines)

    def test_a_failure_is_the_steps_own(self, place: Place, tmp_path: Path):
        request = train_request(tmp_path, "\nimport nothing_of_the_kind\n")
        with pytest.raises(TerminalError, match=r"tiny\.py:2 cannot be imported"):
            place.runtime(self.spec(place)).run(request, environment={}, on_line=print)

    def test_a_step_that_dies_without_an_outcome_shows_its_last_lines(
        self, place: Place, tmp_path: Path
    ):
        code = "import os\nprint('the end', flush=True)\nos._exit(7)\n"
        with pytest.raises(TerminalError, match="ended with status 7") as caught:
            place.runtime(self.spec(place)).run(
                train_request(tmp_path, code), environment={}, on_line=print
            )
        assert "the end" in caught.value.message

    def test_a_killed_step_is_transient(self, place: Place, tmp_path: Path):
        code = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
        with pytest.raises(TransientError, match="SIGKILL"):
            place.runtime(self.spec(place)).run(
                train_request(tmp_path, code), environment={}, on_line=print
            )

    def test_a_step_that_runs_out_of_time_is_transient(self, place: Place, tmp_path: Path):
        runtime = place.runtime(self.spec(place, step_timeout_seconds=4))
        with pytest.raises(TransientError, match="still running after 4 s"):
            runtime.run(train_request(tmp_path, _SLOW), environment={}, on_line=print)
        until(place.is_empty, "nothing runs any more", 30)

    def test_a_stopped_step_leaves_nothing_and_stopping_twice_does_no_harm(
        self, place: Place, tmp_path: Path
    ):
        lines: list[str] = []
        failures: list[Exception] = []
        runtime = place.runtime(self.spec(place))
        runtime.stop()  # before there is anything to stop

        def run() -> None:
            try:
                runtime.run(train_request(tmp_path, _SLOW), environment={}, on_line=lines.append)
            except TransientError as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        until(lambda: any("begun" in line for line in lines), "the step runs", 90)
        runtime.stop()
        runtime.stop()
        thread.join(60)
        assert failures
        until(place.is_empty, "nothing runs any more", 30)
