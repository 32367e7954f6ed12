"""How the command line shows things: tables, trees and the progress of a build."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from slipway.contracts import StepOutcome
    from slipway.spec.plan import PlannedStep

console = Console()
errors = Console(stderr=True)

_VERDICT_STYLE = {"passed": "green", "rejected": "yellow", "failed": "red"}


def plan_tree(title: str, steps: Sequence[PlannedStep]) -> Tree:
    """The graph as a tree: each step below the one whose artifact it takes first."""
    tree = Tree(f"[bold]{title}")
    branches: dict[str, Tree] = {}
    for step in steps:
        parent = next((branches[task] for task in step.needs if task in branches), tree)
        joined = step.variant is None and len(step.needs) > 1
        branches[step.task_id] = (tree if joined else parent).add(
            f"[cyan]{step.task_id}[/] [dim]{step.summary}"
        )
    return tree


def variants_table(rows: Iterable[dict[str, Any]]) -> Group:
    """The table of variants, as `select` gives its rows, and why some did not pass."""
    rows = list(rows)
    metric = next((str(row["metric_name"]) for row in rows if row.get("metric_name")), "metric")
    table = Table()
    for heading in ("variant", metric, "kB", "zipped", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="left" if heading == "variant" else "right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        style = _VERDICT_STYLE.get(row["verdict"], "")
        name = f"[bold green]{row['variant']} *[/]" if row.get("winner") else row["variant"]
        table.add_row(
            name,
            _figure(row.get("metric"), 4),
            _figure(row.get("size_bytes"), 1, 1000),
            _figure(row.get("compressed_bytes"), 1, 1000),
            _figure(row.get("latency_p50_ms"), 3),
            _figure(row.get("latency_p99_ms"), 3),
            f"[{style}]{row['verdict']}[/]" if style else row["verdict"],
        )
    reasons = [f"{row['variant']}: {row['reason']}" for row in rows if row.get("reason")]
    legend = ["* the winner"] if any(row.get("winner") for row in rows) else []
    return Group(table, *reasons, *legend)


def _figure(value: float | None, digits: int, divisor: float = 1) -> str:
    return "-" if value is None else f"{value / divisor:.{digits}f}"


class BuildProgress:
    """Shows a build: one line a finished step, and below them what is running now."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._over = 0
        self._running: dict[str, tuple[float, str]] = {}
        self._live = Live(get_renderable=self._status, console=errors, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.clear()
        self._live.stop()

    def started(self, step: PlannedStep) -> None:
        """A step begins."""
        self._running[step.task_id] = (time.monotonic(), "")

    def said(self, step: PlannedStep, line: str) -> None:
        """A step printed a line."""
        began, _ = self._running.get(step.task_id, (time.monotonic(), ""))
        self._running[step.task_id] = (began, line)

    def ended(self, step: PlannedStep, outcome: StepOutcome | None) -> None:
        """A step ended."""
        began, _ = self._running.pop(step.task_id, (time.monotonic(), ""))
        self._over += 1
        count = f"[dim]{self._over:>2}/{self.total}[/]"
        seconds = f"[dim]{time.monotonic() - began:5.1f} s[/]"
        if outcome is None:
            state = "[dim]left out: a step before it failed[/]"
        elif outcome.failure:
            state = f"[red]failed[/] {outcome.failure.message}\n      -> {outcome.failure.hint}"
        else:
            reused = outcome.result is not None and outcome.result.reused
            state = "[dim]known already[/]" if reused else "[green]done[/]"
        errors.print(f"{count} {seconds} [cyan]{step.task_id}[/] {state}", highlight=False)

    def _status(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for task_id, (began, line) in list(self._running.items()):
            table.add_row(f"[cyan]{task_id}", f"{time.monotonic() - began:.0f} s", line[:100])
        return table
