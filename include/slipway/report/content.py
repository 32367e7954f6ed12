"""The content of report.json: every variant, its figures and its verdict. No clock times."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from slipway.contracts import Contract
from slipway.evaluation.facts import Evaluation, Measurement
from slipway.evaluation.verdicts import Judgement
from slipway.spec.gates import Gates, Objective

REPORT_JSON = "report.json"
REPORT_HTML = "report.html"


class ReportedVariant(Contract):
    """One variant.

    Attributes:
        name: The variant.
        chain: The techniques from the original to it, in order.
        winner: Whether it won.
        judgement: Its verdict with reasons.
        evaluation: Its validation; None if that failed.
        measurement: Its benchmark; None if that failed, see `benchmark_problem`.
        benchmark_problem: Why it was not measured.
        made: Small facts that the step which made it reported.
    """

    name: str
    chain: tuple[str, ...]
    winner: bool
    judgement: Judgement
    evaluation: Evaluation | None = None
    measurement: Measurement | None = None
    benchmark_problem: str | None = None
    made: dict[str, Any] = Field(default_factory=dict)


class Report(Contract):
    """The content of report.json.

    Attributes:
        schema_version: Of this document.
        model: The model's name.
        original: The variant that the others are compared with.
        winner: The variant that won; None if none did.
        outcome: The end of the selection in one sentence.
        metric: The metric that the report shows first.
        gates: The limits, as the spec gives them.
        objective: How the winner was chosen.
        cores: Cores of the machine that measured; None if nothing was measured.
        variants: In the order of the spec, the original first.
    """

    schema_version: Literal[1] = 1
    model: str
    original: str
    winner: str | None
    outcome: str
    metric: str
    gates: Gates
    objective: Objective
    cores: int | None
    variants: tuple[ReportedVariant, ...]

    def variant(self, name: str) -> ReportedVariant | None:
        """The variant of this name; None if there is none."""
        return next((variant for variant in self.variants if variant.name == name), None)
