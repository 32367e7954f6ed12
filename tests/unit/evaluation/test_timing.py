"""Timing in turns, and sizes."""

from __future__ import annotations

import mmap
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from slipway.evaluation.bench_worker import in_child
from slipway.evaluation.benchmark import quantiles
from slipway.evaluation.memory import own_bytes
from slipway.evaluation.sizes import compressed_bytes, size_bytes
from slipway.evaluation.timing import Budget, take_turns, throughput_of

if TYPE_CHECKING:
    from pathlib import Path

SHORT = Budget(seconds=0.05, longest_seconds=5, least_samples=100, most_samples=200)


def test_everyone_gets_as_many_calls_and_turns_are_mixed() -> None:
    seen: list[str] = []
    calls = {name: (lambda name=name: seen.append(name)) for name in "abc"}
    samples = take_turns(calls, SHORT, random.Random(1))
    counts = {len(taken) for taken in samples.values()}
    assert len(counts) == 1
    assert counts.pop() >= 100
    firsts = [seen[start] for start in range(0, len(seen), 18)]
    assert set(firsts) == set("abc")


def test_a_slow_call_still_gets_the_samples_of_a_99th_percentile() -> None:
    samples = take_turns({"slow": lambda: time.sleep(0.002)}, SHORT, random.Random(1))
    assert len(samples["slow"]) >= 100
    assert quantiles(samples["slow"]).p50_ms >= 2


def test_the_time_limit_ends_it_and_then_there_is_no_p99() -> None:
    budget = Budget(seconds=0.01, longest_seconds=0.02, least_samples=100, most_samples=200)
    samples = take_turns({"slow": lambda: time.sleep(0.005)}, budget, random.Random(1))
    assert 0 < len(samples["slow"]) < 100
    assert quantiles(samples["slow"]).p99_ms is None


def test_throughput_counts_examples_not_calls() -> None:
    calls = {"one": lambda: time.sleep(0.002), "ten": lambda: time.sleep(0.002)}
    found = throughput_of(calls, {"one": 1, "ten": 10}, 0.3, random.Random(1))
    assert found["one"] < 500
    assert 3 < found["ten"] / found["one"] < 30


def test_quantiles_are_those_of_the_samples() -> None:
    found = quantiles([number * 1_000_000 for number in range(1, 102)])
    assert (found.p50_ms, found.p90_ms, found.p99_ms, found.samples) == (51, 91, 100, 101)


def test_a_child_that_dies_or_raises_says_so() -> None:
    def raises() -> None:
        raise ValueError("no such tensor")

    assert in_child(lambda: {"a": [1]}) == ({"a": [1]}, "")
    assert in_child(raises) == (None, "ValueError: no such tensor")
    assert in_child(lambda: os.kill(os.getpid(), signal.SIGKILL)) == (
        None,
        "its process was ended by SIGKILL",
    )


def test_memory_counts_what_is_allocated_and_the_models_own_files(tmp_path: Path) -> None:
    def rise(inside: str) -> int:
        before = own_bytes(inside) or 0
        with (tmp_path / "weights").open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            sum(mapped[start] for start in range(0, len(mapped), 4096))
            held = mmap.mmap(-1, 8_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            for start in range(0, len(held), 4096):
                held[start] = 1
            after = own_bytes(inside) or 0
            mapped.close()
            held.close()
        return after - before

    with (tmp_path / "weights").open("wb") as file:
        file.truncate(16_000_000)
    with_model, problem = in_child(lambda: rise(str(tmp_path)))
    assert problem == ""
    without_model, _ = in_child(lambda: rise("/nowhere"))
    assert with_model == pytest.approx(24_000_000, abs=3_000_000)
    assert without_model == pytest.approx(8_000_000, abs=3_000_000)


def test_compressed_size_depends_on_the_content_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "variables").mkdir(parents=True)
    (tmp_path / "a" / "variables" / "x").write_bytes(bytes(100_000))
    (tmp_path / "a" / "y").write_bytes(os.urandom(1000))
    (tmp_path / "b" / "renamed").write_bytes((tmp_path / "a" / "y").read_bytes())
    (tmp_path / "b" / "variables" / "z").write_bytes(bytes(100_000))
    os.utime(tmp_path / "b" / "renamed", (0, 0))
    assert size_bytes(tmp_path / "a") == size_bytes(tmp_path / "b") == 101_000
    assert compressed_bytes(tmp_path / "a") == compressed_bytes(tmp_path / "b")
    assert compressed_bytes(tmp_path / "a") == pytest.approx(1100, abs=150)
