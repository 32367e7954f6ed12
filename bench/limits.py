"""What a benchmark measured, held to its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rich.table import Table


@dataclass
class Verdicts:
    """What was measured against what limit; a limit without a figure does not hold."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, figure: float | None, limit: float, *, at_least: bool = False) -> None:
        held = figure is not None and (figure >= limit if at_least else figure <= limit)
        self.lines.append(
            {"what": name, "figure": figure, "limit": limit, "at_least": at_least, "held": held}
        )

    @property
    def held(self) -> bool:
        return all(line["held"] for line in self.lines)

    def table(self) -> Table:
        table = Table("limit", "measured", "allowed", "", title="limits")
        for line in self.lines:
            figure = "not measured" if line["figure"] is None else f"{line['figure']:.4g}"
            allowed = f"{'at least' if line['at_least'] else 'at most'} {line['limit']:g}"
            state = "[green]holds[/]" if line["held"] else "[red]BROKEN[/]"
            table.add_row(line["what"], figure, allowed, state)
        return table
