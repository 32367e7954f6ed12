"""report.html: one file without any request to elsewhere, from a Report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.report import figures
from slipway.report.plots import HEIGHT, LEFT, RIGHT, TOP, WIDTH, drops, scatter

if TYPE_CHECKING:
    from slipway.report.content import Report, ReportedVariant

_TEMPLATE = "report.html.jinja"
_FILTERS = ("number", "percent", "milliseconds", "size", "rate", "times", "signed")


def render(report: Report) -> str:
    """The page; the same report gives the same bytes."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("slipway", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(figures, name) for name in _FILTERS})
    return environment.get_template(_TEMPLATE).render(
        report=report,
        original=report.variant(report.original),
        winner=report.variant(report.winner) if report.winner else None,
        plots=[plot for plot in (scatter(report, "latency"), scatter(report, "size")) if plot],
        drops=drops(report),
        slices=_slices(report),
        objective=_objective(report),
        box={
            "width": WIDTH,
            "height": HEIGHT,
            "left": LEFT,
            "right": RIGHT,
            "top": TOP,
        },
    )


def _objective(report: Report) -> str:
    if report.objective.minimise is not None:
        return f"least {report.objective.minimise}"
    lower = any(
        facts.lower_is_better
        for variant in report.variants
        if variant.evaluation
        for name, facts in variant.evaluation.metrics.items()
        if name == report.objective.maximise
    )
    return f"{'least' if lower else 'most'} {report.objective.maximise}"


def _slices(report: Report) -> dict[str, Any] | None:
    """The drop of the first metric on each slice, with a shade for how bad it is."""
    judged = [variant for variant in report.variants if variant.evaluation is not None]
    names = list(
        dict.fromkeys(
            name for variant in judged if variant.evaluation for name in variant.evaluation.slices
        )
    )
    if not names:
        return None
    gate = report.gates.slices
    counts = {
        name: facts.examples
        for variant in judged
        if variant.evaluation
        for name, facts in variant.evaluation.slices.items()
    }
    return {
        "names": names,
        "counts": counts,
        "least": gate.minimum_examples if gate else 0,
        "limit": gate.largest_drop if gate else None,
        "rows": [
            (variant.name, [_cell(report, variant, name, counts[name]) for name in names])
            for variant in judged
        ],
    }


def _cell(report: Report, variant: ReportedVariant, name: str, count: int) -> dict[str, Any]:
    found = variant.evaluation.slices.get(name) if variant.evaluation else None
    facts = found.metrics.get(report.metric) if found else None
    if facts is None:
        return {"text": figures.signed(None), "shade": 0.0, "broken": False, "tip": "not measured"}
    gate = report.gates.slices
    limit = gate.largest_drop if gate and count >= gate.minimum_examples else None
    broken = limit is not None and facts.drop > limit
    # Full shade at the limit; without one, at a tenth of the metric's unit.
    shade = max(-1.0, min(1.0, facts.drop / (limit or 0.1)))
    tip = f"{variant.name} on {name}: {facts.value:.4f}, original {facts.original:.4f}"
    if facts.interval:
        tip += f"\ninterval {facts.interval.low:.4f} to {facts.interval.high:.4f}"
    if limit is None:
        tip += "\nnot judged"
    is_original = variant.name == report.original
    text = figures.number(facts.value) if is_original else figures.signed(facts.drop)
    return {
        "text": text,
        "shade": 0.0 if is_original else round(shade, 3),
        "broken": broken,
        "tip": tip,
    }
