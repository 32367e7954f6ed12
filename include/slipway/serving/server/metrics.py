"""TensorFlow Serving's metrics: its names, labels and histogram bounds, and its exposition."""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import Literal

# Source: tensorflow_serving/servables/tensorflow/util.cc: scale 10, growth 1.8, 33 buckets.
LATENCY_BOUNDS_US = tuple(10.0 * 1.8**i for i in range(33))


class _Metric:
    kind: Literal["counter", "histogram"]

    def __init__(self, name: str, *labels: str) -> None:
        self.name = name
        self._labels = labels
        self._lock = threading.Lock()

    def _written(self, values: tuple[str, ...]) -> str:
        pairs = zip(self._labels, values, strict=True)
        return ",".join(f'{label}="{_escaped(value)}"' for label, value in pairs)

    def lines(self) -> list[str]:
        raise NotImplementedError


class Counter(_Metric):
    """A number that only grows, one for each combination of label values seen."""

    kind = "counter"

    def __init__(self, name: str, *labels: str) -> None:
        super().__init__(name, *labels)
        self._cells: dict[tuple[str, ...], int] = {}

    def add(self, *values: str, by: int = 1) -> None:
        """Grows the cell of these label values, which comes into being with its first growth."""
        with self._lock:
            self._cells[values] = self._cells.get(values, 0) + by

    def lines(self) -> list[str]:
        """The samples in Prometheus' text format."""
        with self._lock:
            cells = dict(self._cells)
        return [f"{self.name}{{{self._written(values)}}} {n}" for values, n in cells.items()]


class Histogram(_Metric):
    """Microseconds, counted in buckets with the bounds ``LATENCY_BOUNDS_US``."""

    kind = "histogram"

    def __init__(self, name: str, *labels: str) -> None:
        super().__init__(name, *labels)
        self._cells: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def observe(self, *values: str, microseconds: float) -> None:
        """Counts one observation under these label values."""
        bucket = bisect_left(LATENCY_BOUNDS_US, microseconds)
        with self._lock:
            cell = self._cells.get(values)
            if cell is None:
                cell = self._cells[values] = ([0] * (len(LATENCY_BOUNDS_US) + 1), [0.0])
            cell[0][bucket] += 1
            cell[1][0] += microseconds

    def lines(self) -> list[str]:
        """The samples in Prometheus' text format, buckets cumulative."""
        with self._lock:
            cells = {
                values: (list(counts), total[0]) for values, (counts, total) in self._cells.items()
            }
        return [line for values, cell in cells.items() for line in self._cell_lines(values, *cell)]

    def _cell_lines(self, values: tuple[str, ...], counts: list[int], total: float) -> list[str]:
        labels = self._written(values)
        prefix = f"{self.name}_bucket{{{labels}{',' if labels else ''}"
        lines, seen = [], 0
        for bound, count in zip((*LATENCY_BOUNDS_US, None), counts, strict=True):
            seen += count
            limit = "+Inf" if bound is None else f"{bound:g}"
            lines.append(f'{prefix}le="{limit}"}} {seen}')
        return [
            *lines,
            f"{self.name}_sum{{{labels}}} {total!r}",
            f"{self.name}_count{{{labels}}} {seen}",
        ]


class Metrics:
    """All that the server counts. Nothing is there before it happened, as in TensorFlow Serving."""

    def __init__(self) -> None:
        self.load_attempt_count = Counter(
            ":tensorflow:cc:saved_model:load_attempt_count", "model_path", "status"
        )
        self.load_latency = Counter(":tensorflow:cc:saved_model:load_latency", "model_path")
        self.graph_run_time_usecs = Counter(":tensorflow:core:graph_run_time_usecs")
        self.graph_runs = Counter(":tensorflow:core:graph_runs")
        self.model_warmup_latency = Histogram(
            ":tensorflow:serving:model_warmup_latency", "model_path", "status"
        )
        self.request_count = Counter(":tensorflow:serving:request_count", "model_name", "status")
        self.request_latency = Histogram(
            ":tensorflow:serving:request_latency", "model_name", "API", "entrypoint"
        )
        self.runtime_latency = Histogram(
            ":tensorflow:serving:runtime_latency", "model_name", "API", "runtime"
        )

    def exposition(self) -> str:
        """Everything in Prometheus' text format; names without samples keep their TYPE line."""
        metrics: list[Counter | Histogram] = list(vars(self).values())
        lines: list[str] = []
        for metric in sorted(metrics, key=lambda metric: metric.name):
            lines += [f"# TYPE {metric.name} {metric.kind}", *metric.lines()]
        return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
