from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from slipway.serving.server.metrics import Counter, Histogram, Metrics

LATENCY = ":tensorflow:serving:request_latency"


def test_nothing_is_there_before_it_happened() -> None:
    lines = Metrics().exposition().splitlines()
    assert f"# TYPE {LATENCY} histogram" in lines
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    assert "# TYPE :tensorflow:cc:saved_model:load_attempt_count counter" in lines
    assert all(line.startswith("# TYPE :tensorflow:") for line in lines)
    assert lines == sorted(lines)


def test_counters_keep_their_colons_and_labels() -> None:
    metrics = Metrics()
    metrics.request_count.add("digits", "OK", by=2)
    metrics.graph_runs.add()
    lines = metrics.exposition().splitlines()
    assert ':tensorflow:serving:request_count{model_name="digits",status="OK"} 2' in lines
    assert ":tensorflow:core:graph_runs{} 1" in lines


def test_label_values_are_escaped() -> None:
    counter = Counter("c", "path")
    counter.add('a"b\\c\nd')
    assert counter.lines() == ['c{path="a\\"b\\\\c\\nd"} 1']


def test_bounds_grow_by_1_8_from_10_microseconds_to_20_minutes() -> None:
    metrics = Metrics()
    metrics.request_latency.observe("m", "predict", "REST", microseconds=11)
    lines = metrics.exposition().splitlines()
    labels = 'model_name="m",API="predict",entrypoint="REST"'
    assert f'{LATENCY}_bucket{{{labels},le="10"}} 0' in lines
    assert f'{LATENCY}_bucket{{{labels},le="18"}} 1' in lines
    assert f'{LATENCY}_bucket{{{labels},le="32.4"}} 1' in lines
    assert f'{LATENCY}_bucket{{{labels},le="+Inf"}} 1' in lines
    assert f"{LATENCY}_sum{{{labels}}} 11.0" in lines
    assert sum("_bucket{" in line for line in lines) == 34


@given(st.lists(st.floats(0, 1e10), max_size=30))
def test_buckets_are_cumulative_and_end_in_the_count(values: list[float]) -> None:
    histogram = Histogram("h", "l")
    for value in values:
        histogram.observe("x", microseconds=value)
    lines = histogram.lines()
    if not values:
        assert lines == []
        return
    counts = [int(line.rsplit(" ", 1)[1]) for line in lines if "_bucket" in line]
    assert counts == sorted(counts)
    assert counts[-1] == len(values)
    assert lines[-1] == f'h_count{{l="x"}} {len(values)}'
    assert math.isclose(float(lines[-2].rsplit(" ", 1)[1]), math.fsum(values), abs_tol=1e-3)
