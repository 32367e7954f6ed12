"""What an option costs against what it gives, drawn: compressed size and time of one request."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from slipway.report.figures import milliseconds, size
from slipway.report.scales import log_axis, place_labels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slipway.report.content import Report

_WIDTH, _HEIGHT = 900.0, 460.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 70.0, 20.0, 34.0, 46.0
_STYLE = (
    "text{font:12px sans-serif;fill:#444}.title{font-weight:bold}.grid{stroke:#ddd}"
    ".passed{fill:#1f77b4}.rejected{fill:#d62728}.leader{stroke:#aaa}"
)


def plot(reports: Iterable[Report]) -> str:
    """An SVG with a panel a model, the original's and every measured option's point in it."""
    panels = [_panel(report) for report in reports]
    parts = [
        f'<g transform="translate(0 {number * _HEIGHT:g})">{panel}</g>'
        for number, panel in enumerate(panels)
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} '
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    return (
        f'{head}{_HEIGHT * len(panels):g}"><style>{_STYLE}</style>{background}'
        + "\n".join(parts)
        + "</svg>\n"
    )


def _panel(report: Report) -> str:
    found = [
        (variant.name, variant.judgement.verdict, variant.evaluation, variant.measurement)
        for variant in report.variants
    ]
    measured = [
        (name, verdict, evaluation.compressed_bytes, measurement.single_thread.p50_ms)
        for name, verdict, evaluation, measurement in found
        if evaluation is not None and measurement is not None
    ]
    x = log_axis([each[2] for each in measured], _LEFT, _WIDTH - _RIGHT)
    y = log_axis([each[3] for each in measured], _HEIGHT - _BOTTOM, _TOP)
    spots = [(x.at(cost), y.at(time), name) for name, _, cost, time in measured]
    labels = place_labels(spots, _WIDTH - 2, _HEIGHT - _BOTTOM, _LEFT + 4, _TOP)
    parts = [f'<text class="title" x="{_LEFT:g}" y="20">{escape(report.model)}</text>']
    for tick in x.ticks:
        parts.append(_line("grid", x.at(tick), _TOP, x.at(tick), _HEIGHT - _BOTTOM))
        parts.append(_text(x.at(tick), _HEIGHT - _BOTTOM + 18, size(tick), "middle"))
    for tick in y.ticks:
        parts.append(_line("grid", _LEFT, y.at(tick), _WIDTH - _RIGHT, y.at(tick)))
        parts.append(_text(_LEFT - 8, y.at(tick) + 4, milliseconds(tick), "end"))
    parts.append(_text(_WIDTH / 2, _HEIGHT - 8, "compressed size", "middle"))
    parts.append(_text(_LEFT - 8, 20, "p50", "end"))
    for (name, verdict, _, _), (across, up, _), label in zip(measured, spots, labels, strict=True):
        if label.leader:
            parts.append(_line("leader", across, up, label.x, label.y - 4))
        shown = "passed" if verdict == "passed" else "rejected"
        parts.append(f'<circle class="{shown}" cx="{across:.1f}" cy="{up:.1f}" r="5"/>')
        parts.append(_text(label.x, label.y, name, "start"))
    return "\n".join(parts)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
