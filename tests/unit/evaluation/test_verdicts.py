"""Verdicts and the winner: every limit, and what holds for any race."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.evaluation.facts import Quantiles, ServerFacts, SliceFacts
from slipway.evaluation.limits import VariantFacts
from slipway.evaluation.verdicts import Judgement, breaks_the_build, choose, judge_all
from slipway.spec.gates import Gates, Objective
from support import judged

FASTEST = Objective.model_validate({"minimise": "latency_p50_ms"})


def gates(**limits: Any) -> Gates:
    return Gates.model_validate({"metrics": {"accuracy": {"floor": 0.5}}, **limits})


def variant(name: str = "lite", p50_ms: float | None = 0.02, **changes: Any) -> VariantFacts:
    entry = {key: changes.pop(key) for key in ("required", "tflite", "failure") if key in changes}
    measured = None if p50_ms is None else judged.measurement(p50_ms)
    return VariantFacts(
        name=name, evaluation=judged.evaluation(name, **changes), measurement=measured, **entry
    )


def judge(facts: VariantFacts, limits: Gates, objective: Objective = FASTEST) -> Judgement:
    race = [variant("original", 0.1), facts]
    return judge_all(race, "original", limits, objective, prefer_tflite_model=True)[1]


@pytest.mark.parametrize(
    ("facts", "limits", "kind", "measured", "limit"),
    [
        (variant(accuracy=0.4), {}, "metric_floor", 0.4, 0.5),
        (
            variant(accuracy=0.99),
            {"metrics": {"accuracy": {"ceiling": 0.985}}},
            "metric_ceiling",
            0.99,
            0.985,
        ),
        (
            variant(accuracy=0.95),
            {"metrics": {"accuracy": {"largest_drop": 0.02}}},
            "metric_drop",
            0.03,
            0.02,
        ),
        (variant(), {"slices": {"largest_drop": 0.015}}, "slice_drop", 0.02, 0.015),
        (variant(agreement=0.9), {"smallest_agreement": 0.95}, "agreement", 0.9, 0.95),
        (variant(p50_ms=2.0), {"latency": {"largest_p50_ms": 1.0}}, "latency", 2.0, 1.0),
        (variant(p50_ms=2.0), {"latency": {"largest_p99_ms": 3.0}}, "latency", 4.0, 3.0),
        (variant(p50_ms=0.3), {"latency": {"largest_ratio": 2.0}}, "latency", 3.0, 2.0),
        (variant(size_bytes=2000), {"size": {"largest_bytes": 1000}}, "size", 2000, 1000),
        (variant(size_bytes=500_000), {"size": {"largest_ratio": 0.4}}, "size", 0.5, 0.4),
    ],
)
def test_each_limit_gives_its_own_reason_with_figure_and_limit(
    facts: VariantFacts, limits: dict[str, Any], kind: str, measured: float, limit: float
) -> None:
    found = judge(facts, gates(**limits))
    assert found.verdict == "rejected"
    reason = found.reasons[0]
    assert (reason.kind, reason.measured, reason.limit) == (
        kind,
        pytest.approx(measured),
        limit,
    )
    assert (
        f"{limit:g}"[:3] in reason.text.replace(",", "").replace(".0%", "%") or "%" in reason.text
    )


def test_a_figure_at_its_limit_passes() -> None:
    limits = gates(
        metrics={"accuracy": {"floor": 0.96, "largest_drop": 0.02}},
        smallest_agreement=0.99,
        size={"largest_ratio": 1.0},
        latency={"largest_ratio": 0.2},
    )
    assert judge(variant(accuracy=0.96), limits).verdict == "passed"


def test_a_small_slice_is_not_judged() -> None:
    spoiled = {"rare": SliceFacts(examples=19, metrics={"accuracy": judged.metric(0.1, 0.9)})}
    limits = gates(slices={"largest_drop": 0.1, "minimum_examples": 20})
    assert judge(variant(slices=spoiled), limits).verdict == "passed"
    stricter = gates(slices={"largest_drop": 0.1, "minimum_examples": 19})
    assert judge(variant(slices=spoiled), stricter).reasons[0].subject == "rare"


def test_a_metric_that_a_variant_lost_on_a_slice_rejects_it() -> None:
    spoiled = {"rare": SliceFacts(examples=100, metrics={}, lost=("accuracy",))}
    [reason] = judge(variant(slices=spoiled), gates(slices={"largest_drop": 0.5})).reasons
    assert (reason.kind, reason.subject) == ("not_measured", "rare")
    assert judge(variant(slices=spoiled), gates()).verdict == "passed"


def test_a_drop_is_judged_on_its_point_estimate_and_shown_with_its_interval() -> None:
    # The interval reaches past the limit on both sides.
    limits = gates(metrics={"accuracy": {"largest_drop": 0.02}})
    assert judge(variant(accuracy=0.961), limits).verdict == "passed"
    rejected = judge(variant(accuracy=0.959), limits)
    assert "interval 0.015 to 0.028" in rejected.reasons[0].text


def test_what_was_not_measured_breaks_a_limit_on_it() -> None:
    slow = gates(latency={"largest_p50_ms": 1.0})
    assert judge(variant(p50_ms=None), slow).reasons[0].kind == "not_measured"
    few = Quantiles(p50_ms=0.1, p90_ms=0.1, p99_ms=None, samples=50)
    measured = judged.measurement(single_thread=few)
    facts = VariantFacts("lite", evaluation=judged.evaluation("lite"), measurement=measured)
    tail = gates(latency={"largest_p99_ms": 1.0})
    assert judge(facts, tail).reasons[0].kind == "not_measured"
    unknown = gates(metrics={"recall": {"floor": 0.5}})
    assert judge(variant(), unknown).reasons[0].kind == "not_measured"


def test_another_answer_of_the_model_server_rejects() -> None:
    server = ServerFacts(requests=8, largest_difference=0.4, problems=("one", "two", "three"))
    found = judge(variant(server=server), gates())
    assert found.reasons[0].kind == "server_mismatch"
    assert found.reasons[0].text == "one (and 2 more)"


def test_a_step_that_failed_is_the_only_reason() -> None:
    found = judge(variant(failure="lite.tflite failed: no"), gates(size={"largest_bytes": 1}))
    assert found.verdict == "failed"
    assert [reason.kind for reason in found.reasons] == ["step_failed"]
    assert judge(VariantFacts("lite"), gates()).verdict == "failed"


@pytest.mark.parametrize(
    ("facts", "objective", "why"),
    [
        (variant(other_interface="input image is int8"), FASTEST, "input image is int8"),
        (variant(p50_ms=None), FASTEST, "latency_p50_ms was not measured"),
        (variant(), Objective.model_validate({"maximise": "recall"}), "recall was not measured"),
    ],
)
def test_a_variant_that_passed_may_still_be_unable_to_win(
    facts: VariantFacts, objective: Objective, why: str
) -> None:
    found = judge(facts, gates(), objective)
    assert found.verdict == "passed"
    assert why in (found.not_eligible or "")
    assert not found.can_win


@pytest.mark.parametrize("prefer", [True, False])
def test_tflite_wins_only_where_the_server_prefers_it(prefer: bool) -> None:
    race = [variant("original", 0.1), variant("lite", 0.01, tflite=True)]
    found = judge_all(race, "original", gates(), FASTEST, prefer_tflite_model=prefer)
    assert choose(race, found, FASTEST) == ("lite" if prefer else "original")


def test_a_tie_goes_to_the_smaller_then_to_the_first_by_name() -> None:
    race = [
        variant("c", 0.1, size_bytes=10),
        variant("b", 0.1, size_bytes=5),
        variant("a", 0.1, size_bytes=10),
    ]
    found = judge_all(race, "original", gates(), FASTEST, prefer_tflite_model=True)
    assert choose(race, found, FASTEST) == "b"
    objective = Objective.model_validate({"maximise": "accuracy"})
    twins = [race[0], race[2]]
    assert choose(twins, [found[0], found[2]], objective) == "a"


def test_maximising_a_loss_takes_the_least_of_it() -> None:
    objective = Objective.model_validate({"maximise": "loss"})
    race = [
        variant(name, metrics={"loss": judged.metric(value, 0.5, lower_is_better=True)})
        for name, value in (("worse", 0.9), ("better", 0.2))
    ]
    limits = gates(metrics={"loss": {"ceiling": 1.0}})
    found = judge_all(race, "worse", limits, objective, prefer_tflite_model=True)
    assert choose(race, found, objective) == "better"


def test_the_original_may_be_too_slow_or_large_but_not_too_bad() -> None:
    race = [variant("original", 5.0, required=True)]
    slow = gates(latency={"largest_p50_ms": 1.0}, size={"largest_bytes": 1})
    bad = gates(metrics={"accuracy": {"floor": 0.99}})
    for limits, breaks in ((slow, False), (bad, True)):
        [found] = judge_all(race, "original", limits, FASTEST, prefer_tflite_model=True)
        assert found.verdict == "rejected"
        assert breaks_the_build(found, "original") is breaks
    [other] = judge_all(race, "another", slow, FASTEST, prefer_tflite_model=True)
    assert breaks_the_build(other, "another")


FACTS = st.builds(
    variant,
    name=st.text("abcdef", min_size=1, max_size=3),
    p50_ms=st.none() | st.floats(0.001, 10),
    accuracy=st.floats(0, 1),
    size_bytes=st.integers(1, 10**6),
    tflite=st.booleans(),
    failure=st.none() | st.just("it failed"),
)
LIMITS = st.fixed_dictionaries(
    {
        "metrics": st.fixed_dictionaries(
            {"accuracy": st.builds(lambda f: {"floor": f}, st.floats(0, 1))}
        )
    },
    optional={"size": st.builds(lambda b: {"largest_bytes": b}, st.integers(1, 10**6))},
)
OBJECTIVES = st.sampled_from(
    [{"minimise": "latency_p50_ms"}, {"minimise": "size_bytes"}, {"maximise": "accuracy"}]
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(FACTS, min_size=1, max_size=6, unique_by=lambda facts: facts.name),
    LIMITS,
    OBJECTIVES,
    st.booleans(),
    st.randoms(),
)
def test_in_any_race_the_winner_passed_is_best_and_does_not_depend_on_the_order(
    race: list[VariantFacts], limits: dict[str, Any], wanted: dict[str, str], prefer: bool, rng: Any
) -> None:
    objective = Objective.model_validate(wanted)
    rules = Gates.model_validate(limits)
    first = race[0].name
    found = judge_all(race, first, rules, objective, prefer_tflite_model=prefer)
    winner = choose(race, found, objective)
    by_name = {judgement.variant: judgement for judgement in found}
    eligible = [facts for facts in race if by_name[facts.name].can_win]
    assert (winner is None) == (not eligible)
    for judgement in found:
        assert (judgement.verdict == "passed") == (judgement.reasons == ())
    if winner is not None:
        won = next(facts for facts in race if facts.name == winner)
        assert won.evaluation is not None
        assert not won.tflite or prefer
        assert won.evaluation.metrics["accuracy"].value >= rules.metrics["accuracy"].floor - 1e-9  # type: ignore[operator]  # a floor is always given here
    shuffled = list(race)
    rng.shuffle(shuffled)
    again = judge_all(shuffled, first, rules, objective, prefer_tflite_model=prefer)
    assert choose(shuffled, again, objective) == winner
    assert {judgement.variant: judgement for judgement in again} == by_name
