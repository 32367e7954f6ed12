"""The life of versions, with a loader and a source that the test holds in its hands."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import TransientError
from slipway.serving.server.config import VersionPolicy
from slipway.serving.server.flags import ServerFlags
from slipway.serving.server.status import StatusError
from slipway.serving.server.versions import ModelVersions, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slipway.serving.server.signatures import Arrays, Servable

DEADLINE_SECONDS = 10.0


class Loaded:
    """A version in memory that knows whether it was closed."""

    runs_graph = False

    def __init__(self, number: int) -> None:
        self.signatures: dict[str, Any] = {}
        self.number = number
        self.closed = False

    def run(self, signature: str, inputs: Arrays) -> Arrays:
        assert not self.closed, f"{signature} was run after the version was closed"
        return inputs

    def metadata(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        self.closed = True


class Bench:
    """Source and loader at once: the test says what exists, what loads and when."""

    def __init__(self) -> None:
        self.existing: frozenset[int] = frozenset()
        self.broken: set[int] = set()
        self.held = threading.Event()
        self.held.set()
        self.loads: list[int] = []
        self.released: list[int] = []
        self.unreachable = False

    def versions(self) -> frozenset[int]:
        if self.unreachable:
            raise TransientError("no answer", hint="try again")
        return self.existing

    def fetch(self, version: int) -> Path:
        return Path(str(version))

    def release(self, version: int) -> None:
        self.released.append(version)

    def load(self, folder: Path) -> Servable:
        number = int(folder.name)
        self.loads.append(number)
        assert self.held.wait(DEADLINE_SECONDS)
        if number in self.broken:
            raise StatusError("NOT_FOUND", f"{number} is broken")
        return Loaded(number)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def _versions(bench: Bench, policy: VersionPolicy, **flags: int) -> ModelVersions:
    settings = ServerFlags(
        **{"max_num_load_retries": 0, "load_retry_interval_micros": 60_000_000, **flags}
    )
    return ModelVersions("m", bench, policy, bench, settings)  # type: ignore[arg-type]  # Bench loads


@pytest.fixture
def model(bench: Bench) -> Iterator[ModelVersions]:
    model = _versions(bench, VersionPolicy())
    yield model
    bench.held.set()
    model.close()


def until(probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def states(model: ModelVersions) -> dict[int, State]:
    return {status.number: status.state for status in model.statuses()}


def offer(bench: Bench, model: ModelVersions, *numbers: int) -> None:
    bench.existing = frozenset(numbers)
    model.refresh()


def test_a_version_is_loading_then_available(bench: Bench, model: ModelVersions) -> None:
    bench.held.clear()
    offer(bench, model, 1)
    until(lambda: states(model) == {1: State.LOADING})
    with pytest.raises(StatusError, match=r"Servable not found for request: Latest\(m\)"):
        model.lend(None).__enter__()
    bench.held.set()
    until(lambda: states(model) == {1: State.AVAILABLE})
    with model.lend(None) as (number, _):
        assert number == 1


def test_the_old_version_serves_until_the_new_one_does(bench: Bench, model: ModelVersions) -> None:
    offer(bench, model, 1)
    until(lambda: model.available() == {1})
    bench.held.clear()
    offer(bench, model, 1, 2)
    until(lambda: states(model) == {1: State.AVAILABLE, 2: State.LOADING})
    bench.held.set()
    until(lambda: states(model) == {1: State.END, 2: State.AVAILABLE})


def test_a_new_version_that_fails_leaves_the_old_one_serving(
    bench: Bench, model: ModelVersions
) -> None:
    offer(bench, model, 1)
    until(lambda: model.available() == {1})
    bench.broken = {2}
    offer(bench, model, 1, 2)
    until(lambda: states(model)[2] is State.END)
    assert model.available() == {1}
    (failed, _) = model.statuses()
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == ("NOT_FOUND", "2 is broken")


def test_a_failed_version_is_tried_again_only_after_it_was_gone(
    bench: Bench, model: ModelVersions
) -> None:
    bench.broken = {1}
    offer(bench, model, 1)
    until(lambda: states(model) == {1: State.END})
    bench.broken = set()
    model.refresh()
    assert bench.loads == [1]
    offer(bench, model)
    offer(bench, model, 1)
    until(lambda: model.available() == {1})
    assert bench.loads == [1, 1]
    assert model.statuses()[0].error is None


def test_a_version_that_goes_while_it_is_retried_ends_at_once(bench: Bench) -> None:
    model = _versions(bench, VersionPolicy(), max_num_load_retries=1000)
    bench.broken = {1}
    offer(bench, model, 1)
    until(lambda: bench.loads == [1])
    offer(bench, model)
    until(lambda: states(model) == {1: State.END})
    assert bench.loads == [1]
    model.close()


def test_a_version_that_goes_while_it_loads_never_serves(
    bench: Bench, model: ModelVersions
) -> None:
    bench.held.clear()
    offer(bench, model, 1)
    until(lambda: states(model) == {1: State.LOADING})
    offer(bench, model)
    bench.held.set()
    until(lambda: states(model) == {1: State.END})
    assert bench.released == [1]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_come_on_top_of_the_first_attempt(bench: Bench, retries: int) -> None:
    model = _versions(
        bench, VersionPolicy(), max_num_load_retries=retries, load_retry_interval_micros=-1
    )
    bench.broken = {1}
    offer(bench, model, 1)
    until(lambda: states(model) == {1: State.END})
    assert bench.loads == [1] * (1 + retries)
    model.close()


def test_a_request_holds_its_version_until_it_is_done(bench: Bench, model: ModelVersions) -> None:
    offer(bench, model, 1)
    until(lambda: model.available() == {1})
    with model.lend(1) as (_, servable):
        offer(bench, model, 1, 2)
        until(lambda: states(model) == {1: State.UNLOADING, 2: State.AVAILABLE})
        servable.run("s", {})
        with pytest.raises(StatusError, match=r"Specific\(m, 1\)"):
            model.lend(1).__enter__()
    until(lambda: states(model)[1] is State.END)
    assert isinstance(servable, Loaded)
    assert servable.closed


def test_a_source_that_does_not_answer_changes_nothing(bench: Bench, model: ModelVersions) -> None:
    offer(bench, model, 1)
    until(lambda: model.available() == {1})
    bench.unreachable = True
    offer(bench, model)
    assert model.available() == {1}


def test_an_empty_source_unloads_everything(bench: Bench, model: ModelVersions) -> None:
    offer(bench, model, 1)
    until(lambda: model.available() == {1})
    offer(bench, model)
    until(lambda: states(model) == {1: State.END})


def test_closing_ends_every_version(bench: Bench) -> None:
    model = _versions(bench, VersionPolicy("all"))
    offer(bench, model, 1, 2, 3)
    until(lambda: model.available() == {1, 2, 3})
    model.close()
    assert set(states(model).values()) == {State.END}
    assert sorted(bench.released) == [1, 2, 3]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.frozensets(st.integers(1, 4), max_size=4), min_size=1, max_size=6),
    st.frozensets(st.integers(1, 4)),
)
def test_whatever_comes_and_goes_what_is_left_serves_unless_broken(
    polls: list[frozenset[int]], broken: frozenset[int]
) -> None:
    bench = Bench()
    bench.broken = set(broken)
    model = _versions(bench, VersionPolicy("all"))
    for existing in polls:
        offer(bench, model, *existing)
    wanted = polls[-1]
    # What is no longer wanted goes on serving only where nothing that is wanted can.
    expected_gone = not wanted or bool(wanted - broken)

    def settled() -> bool:
        serving = model.available()
        done = all(s in {State.AVAILABLE, State.END} for s in states(model).values())
        rest = serving - wanted
        return done and serving & wanted == wanted - broken and not (expected_gone and rest)

    until(settled)
    model.close()
    assert model.idle
