"""The report: complete, self-contained, and safe with any name."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.evaluation.limits import VariantFacts
from slipway.evaluation.verdicts import judge_all
from slipway.report import figures
from slipway.report.content import Report, ReportedVariant
from slipway.report.page import render
from slipway.report.scales import linear_axis, log_axis, place_labels
from slipway.spec.gates import Gates, Objective
from support import judged


def report(winner: str | None = "lite", **changes: Any) -> Report:
    gates = Gates.model_validate(
        {
            "metrics": {"accuracy": {"floor": 0.95, "largest_drop": 0.02}},
            "slices": {"largest_drop": 0.1},
        }
    )
    objective = Objective.model_validate({"minimise": "latency_p50_ms"})
    timed = judged.measurement()
    facts = [
        VariantFacts("original", True, evaluation=judged.evaluation(), measurement=timed),
        VariantFacts(
            "lite",
            tflite=True,
            evaluation=judged.evaluation("lite", 0.975),
            measurement=judged.measurement(0.02),
        ),
        VariantFacts("bad", evaluation=judged.evaluation("bad", 0.5), measurement=timed),
        VariantFacts("broken", failure="broken.tflite failed: no such op"),
    ]
    found = judge_all(facts, "original", gates, objective, prefer_tflite_model=True)
    content: dict[str, Any] = {
        "model": "digits",
        "original": "original",
        "winner": winner,
        "outcome": "2 of 4 variants passed; lite won.",
        "metric": "accuracy",
        "gates": gates,
        "objective": objective,
        "cores": 2,
        "variants": tuple(
            ReportedVariant(
                name=one.name,
                chain=("tflite",),
                winner=one.name == winner,
                judgement=judgement,
                evaluation=one.evaluation,
                measurement=one.measurement,
                made={"parameters": 1000},
            )
            for one, judgement in zip(facts, found, strict=True)
        ),
    }
    return Report(**{**content, **changes})


def test_every_variant_stands_in_it_with_verdict_and_reason() -> None:
    page = render(report())
    for name in ("original", "lite", "bad", "broken"):
        assert f'data-variant="{name}"' in page
    assert "no such op" in page
    assert "accuracy 0.5 is below the floor 0.95" in page
    assert page.count('<span class="chip won">winner</span>') == 2
    assert page.count("<figure") == 3


def test_it_asks_nothing_of_anyone_else() -> None:
    page = render(report())
    assert not re.search(r"(src|href|url\(|@import|https?://|//cdn)", page)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket)\b", page)


def test_names_and_reasons_cannot_become_markup() -> None:
    page = render(report(outcome='<script>alert(1)</script>"'))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_it_is_well_formed() -> None:
    page = render(report())
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ET.fromstring(drawing)
    open_tags: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            del attrs
            if tag not in {"meta", "line", "circle"}:
                open_tags.append(tag)

        def handle_startendtag(self, tag: str, attrs: Any) -> None:
            """Opens nothing."""

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Checker().feed(page)
    assert open_tags == []


def test_a_race_without_winner_benchmark_or_slices_still_gives_a_page() -> None:
    bare = tuple(
        variant.model_copy(
            update={
                "winner": False,
                "measurement": None,
                "benchmark_problem": "it does not load",
                "evaluation": variant.evaluation
                and variant.evaluation.model_copy(update={"slices": {}}),
            }
        )
        for variant in report().variants
    )
    page = render(report(None, cores=None, variants=bare))
    assert "nothing is published" in page
    assert "it does not load" in page
    failed = tuple(variant.model_copy(update={"evaluation": None}) for variant in bare)
    assert "<figure" not in render(report(None, variants=failed))


def test_the_same_report_gives_the_same_bytes_also_after_json() -> None:
    again = Report.model_validate_json(report().model_dump_json())
    assert render(again) == render(report())


@settings(deadline=None)
@given(st.lists(st.floats(1e-4, 1e9), min_size=1, max_size=12))
def test_axes_hold_every_value_and_keep_their_order(values: list[float]) -> None:
    for axis in (linear_axis(values, 0, 100), log_axis(values, 0, 100)):
        places = [axis.at(value) for value in sorted(values)]
        assert places == sorted(places)
        assert all(0 <= place <= 100 for place in places)
        assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
        assert len(axis.ticks) <= 30


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(60, 500), st.floats(30, 300)), max_size=11))
def test_labels_stay_inside_the_plot(places: list[tuple[float, float]]) -> None:
    points = [(x, y, f"variant_{index}") for index, (x, y) in enumerate(places)]
    for label in place_labels(points, 560, 340, 50, 2):
        assert 50 <= label.x <= 560
        assert 2 <= label.y <= 340


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (figures.percent(0.9996), "99.9%"),
        (figures.percent(1.0), "100%"),
        (figures.percent(0.95), "95%"),
        (figures.size(999), "999 B"),
        (figures.size(1_240_000), "1.24 MB"),
        (figures.milliseconds(0.0123), "12.3 µs"),
        (figures.milliseconds(12.34), "12.3 ms"),
        (figures.times(1, 8), "8× less"),  # noqa: RUF001  # the sign for times
        (figures.times(8, 1), "8× more"),  # noqa: RUF001  # as above
        (figures.signed(-0.00001), "0"),
        (figures.signed(None), "–"),  # noqa: RUF001  # an en dash
    ],
)
def test_figures_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected
