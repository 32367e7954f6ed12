from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.health import Decision, Judge, JudgeState
from slipway.rollout.checks import checks, latency_name
from slipway.rollout.subject import Subject
from slipway.spec.health import HealthPolicy

POLICY = HealthPolicy.model_validate(
    {
        "window_seconds": 30,
        "interval_seconds": 5,
        "consecutive": 2,
        "minimum_requests": 50,
        "timeout_seconds": 60,
        "checks": {
            "error_ratio": {"largest": 0.01},
            "latency": [{"percentile": 99, "largest_ms": 100}],
            "load_failures": {"largest": 0},
            "promql": [{"name": "memory", "query": "mem{m='{model}'}", "smallest": 1}],
        },
    }
)
DIGITS = Subject(model="digits", version=3)
GOOD: dict[str, float | None] = {
    "requests": 200,
    "error_ratio": 0,
    "latency_p99_ms": 20,
    "load_failures": 0,
    "memory": 5,
}
GOOD_PROBE: dict[str, float] = {
    "probe_requests": 200,
    "probe_error_ratio": 0,
    "probe_latency_p99_ms": 30,
}
BAD = GOOD | {"error_ratio": 0.5}

numbers = st.floats(allow_nan=True, allow_infinity=True)
samples = st.dictionaries(st.sampled_from(sorted(GOOD)), st.none() | numbers)


def judge(**options: Any) -> Judge:
    return Judge(POLICY, DIGITS, state=JudgeState(started_at=0.0), **options)


def decide(looks: list[dict[str, float | None]], **options: Any) -> Decision | None:
    judging = judge(**options)
    for number, look in enumerate(looks, start=1):
        decision = judging.observe(look, at=5.0 * number)
        if decision is not None:
            return decision
    return None


def verdict_of(look: dict[str, float | None], **options: Any) -> str:
    """The verdict when every look, until time runs out, shows the same."""
    decision = decide([look] * 12, **options)
    assert decision is not None
    return decision.verdict


def test_good_figures_are_healthy_after_two_looks() -> None:
    assert decide([GOOD]) is None
    decision = decide([GOOD, GOOD])
    assert decision is not None
    assert decision.verdict == "healthy"
    assert len(decision.looks) == 2


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("requests", 49.0, "inconclusive"),
        ("requests", 50.0, "healthy"),
        ("error_ratio", 0.011, "unhealthy"),
        ("error_ratio", 0.01, "healthy"),
        ("latency_p99_ms", 100.5, "unhealthy"),
        ("load_failures", 1.0, "unhealthy"),
        ("memory", 0.5, "unhealthy"),
    ],
)
def test_each_limit_decides(name: str, value: float, verdict: str) -> None:
    assert verdict_of(GOOD | {name: value}) == verdict


@settings(deadline=None)
@given(name=st.sampled_from(sorted(GOOD)), hole=st.sampled_from([None, math.nan, math.inf]))
def test_a_hole_in_any_figure_is_inconclusive(name: str, hole: float | None) -> None:
    assert verdict_of(GOOD | {name: hole}) == "inconclusive"


def test_many_errors_among_too_few_requests_prove_nothing() -> None:
    assert verdict_of(GOOD | {"requests": 10, "error_ratio": 1.0}) == "inconclusive"


@settings(deadline=None)
@given(samples)
def test_healthy_means_that_every_figure_is_there_and_within_its_limits(
    look: dict[str, float | None],
) -> None:
    values = {name: look.get(name) for name in GOOD}
    found = {name: value for name, value in values.items() if value is not None}
    fine = (
        len(found) == len(values)
        and all(math.isfinite(value) for value in found.values())
        and found["requests"] >= 50
        and found["error_ratio"] <= 0.01
        and found["latency_p99_ms"] <= 100
        and found["load_failures"] <= 0
        and found["memory"] >= 1
    )
    assert (verdict_of(look) == "healthy") == fine


@settings(deadline=None)
@given(st.lists(st.sampled_from([GOOD, BAD, {}]), max_size=12))
def test_a_final_verdict_lasted_or_time_ran_out(looks: list[dict[str, float | None]]) -> None:
    decision = decide(looks)
    if decision is None:
        assert len(looks) < 12
    elif decision.verdict in {"healthy", "unhealthy"} and decision.looks[-1].at < 60:
        assert [look.verdict for look in decision.looks[-2:]] == [decision.verdict] * 2
    elif decision.looks[-1].at < 60:
        pytest.fail("neither lasted nor late")


@settings(deadline=None)
@given(st.lists(st.sampled_from([GOOD, BAD, {}, None]), min_size=12, max_size=12))
def test_a_judge_that_is_saved_and_loaded_decides_the_same(
    looks: list[dict[str, float | None] | None],
) -> None:
    kept, state = judge(), JudgeState(started_at=0.0)
    for number, look in enumerate(looks, start=1):
        at = 5.0 * number
        fresh = Judge(POLICY, DIGITS, state=state)
        one, other = (
            each.fail("no answer", at) if look is None else each.observe(look, at)
            for each in (kept, fresh)
        )
        assert one == other
        if one is not None:
            assert Decision.model_validate_json(one.model_dump_json()) == one
            return
        state = JudgeState.model_validate_json(fresh.state.model_dump_json())
    pytest.fail("no decision although time ran out")


def test_one_bad_look_starts_the_row_anew() -> None:
    decision = decide([GOOD, BAD, GOOD, GOOD])
    assert decision is not None
    assert [look.verdict for look in decision.looks] == [
        "healthy",
        "unhealthy",
        "healthy",
        "healthy",
    ]


def test_healthy_only_at_the_last_look_is_inconclusive() -> None:
    decision = decide([{}] * 11 + [GOOD])
    assert decision is not None
    assert decision.verdict == "inconclusive"
    assert "not 2 times in a row" in decision.reasons[0]


def test_a_prometheus_that_never_answers_is_an_error() -> None:
    judging, decision = judge(), None
    for number in range(1, 13):
        decision = judging.fail("Prometheus could not be asked", at=5.0 * number)
    assert decision is not None
    assert decision.verdict == "error"
    assert decision.reasons == ("Prometheus could not be asked",)


def test_the_evidence_names_query_value_and_limit() -> None:
    decision = decide([BAD, BAD])
    assert decision is not None
    assert decision.reasons == ("error_ratio is 0.5, more than the largest allowed, 0.01",)
    [result] = [result for result in decision.results if result.verdict == "unhealthy"]
    assert result.value == 0.5
    assert result.check.largest == 0.01
    assert 'model_name="digits"' in (result.check.promql or "")
    assert "[30s]" in (result.check.promql or "")


@pytest.mark.parametrize(
    ("probe", "verdict"),
    [
        (GOOD_PROBE, "healthy"),
        (GOOD_PROBE | {"probe_error_ratio": 0.5}, "unhealthy"),
        (GOOD_PROBE | {"probe_latency_p99_ms": 500.0}, "unhealthy"),
        (GOOD_PROBE | {"probe_requests": 10.0}, "inconclusive"),
        ({}, "inconclusive"),
    ],
)
def test_much_traffic_to_stable_cannot_hide_a_bad_canary(
    probe: dict[str, float], verdict: str
) -> None:
    assert verdict_of(GOOD | {"requests": 1_000_000}, probe=probe) == verdict


@pytest.mark.parametrize(
    ("requests", "started_at", "verdict"),
    [
        (200, 1e9, "healthy"),
        (400, 1e9, "healthy"),
        (401, 1e9, "unhealthy"),
        (200, -1e9, "unhealthy"),
    ],
)
def test_the_clients_own_pauses_count_only_where_the_server_cannot_show_the_canary(
    requests: float, started_at: float, verdict: str
) -> None:
    slow_client = GOOD_PROBE | {"probe_latency_p99_ms": 500.0, "probe_started_at": started_at}
    assert verdict_of(GOOD | {"requests": requests}, probe=slow_client) == verdict


def test_half_of_the_traffic_cannot_hide_a_slow_canary_from_a_median() -> None:
    raw = POLICY.model_dump()
    raw["checks"]["latency"] = [{"percentile": 50, "largest_ms": 100}]
    fine = GOOD | {"requests": 400, "latency_p50_ms": 20}
    slow = GOOD_PROBE | {"probe_latency_p50_ms": 500.0, "probe_started_at": 1e9}
    judging = Judge(
        HealthPolicy.model_validate(raw), DIGITS, state=JudgeState(started_at=0.0), probe=slow
    )
    judging.observe(fine, at=5.0)
    decision = judging.observe(fine, at=10.0)
    assert decision is not None
    assert decision.verdict == "unhealthy"


def test_a_users_query_is_filled_in() -> None:
    own = {check.name: check.promql for check in checks(POLICY, DIGITS)}["memory"]
    assert own == "mem{m='digits'}"


def test_quantiles_have_names_of_their_own() -> None:
    assert latency_name(99) == "latency_p99_ms"
    assert latency_name(99.9) == "latency_p99_9_ms"


def test_after_a_greater_share_only_its_own_requests_are_asked_for() -> None:
    since = 1000.0
    subject = DIGITS.model_copy(update={"since": since})
    judge = Judge(POLICY, subject, state=JudgeState(started_at=since))
    assert "[7s]" in judge.queries(since + 7.9)["requests"]
    assert "[1s]" in judge.queries(since)["requests"]
    late = judge.queries(since + 10 * POLICY.window_seconds)["requests"]
    assert f"[{POLICY.window_seconds}s]" in late
    assert late == Judge(POLICY, DIGITS, state=judge.state).queries(since)["requests"]
