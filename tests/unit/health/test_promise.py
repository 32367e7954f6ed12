"""Whatever promise is accepted is kept, and healthy canaries pass."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from slipway.rollout.checks import ERROR_INCREASE, Check, checks
from slipway.rollout.proving import by_difference
from slipway.rollout.statistics import difference, requests_to_pass, sequential, wilson
from slipway.rollout.subject import Subject
from slipway.spec.health import HealthPolicy
from slipway.spec.rollout import RolloutSpec
from support.simulated_rollouts import judged, policy, scrapes

RATE = 10.0


def test_fifty_of_fifty_healthy_canaries_pass() -> None:
    ends = [judged(policy(), scrapes(seed=n, per_second=RATE, errors=0.002)) for n in range(50)]
    assert {each.verdict for each in ends} == {"healthy"}


def test_the_probe_alone_is_enough_for_a_healthy_canary_to_pass() -> None:
    spec = RolloutSpec.model_validate(
        {"strategy": "canary", "health": {"promise": {"error_ratio": 0.05}}}
    )
    tolerated, asked = 0.005, spec.probe.requests
    ends = [
        judged(policy(), scrapes(seed=n, per_second=RATE, errors=tolerated, most=asked))
        for n in range(400)
    ]
    assert sum(each.verdict != "healthy" for each in ends) <= 8
    few = [
        judged(policy(), scrapes(seed=n, per_second=RATE, errors=tolerated, most=200))
        for n in range(400)
    ]
    assert sum(each.verdict == "inconclusive" for each in few) > 40


@settings(deadline=None, max_examples=30, derandomize=True)
@given(caught=st.floats(0.01, 0.5), risk=st.floats(0.0005, 0.05), seed=st.integers(0, 99))
def test_so_many_requests_pass_what_is_tolerated(caught: float, risk: float, seed: int) -> None:
    tolerated, chance = caught / 10, random.Random(seed)
    needed = requests_to_pass(tolerated=tolerated, caught=caught, risk=risk)
    undecided = 0
    for _ in range(50):
        errors = sum(chance.random() < tolerated for _ in range(needed))
        verdict = sequential(errors, needed, tolerated=tolerated, caught=caught, risk=risk)
        undecided += verdict != "healthy"
    assert undecided <= 5


def test_five_percent_errors_are_caught_in_time() -> None:
    ends = [judged(policy(), scrapes(seed=n, per_second=RATE, errors=0.05)) for n in range(100)]
    assert {each.verdict for each in ends} == {"unhealthy"}
    assert sum(each.seconds <= 90 for each in ends) >= 98


def test_a_slow_canary_is_caught_in_time() -> None:
    ends = [
        judged(policy(), scrapes(seed=n, per_second=RATE, errors=0.0, slow=0.3)) for n in range(50)
    ]
    assert {each.verdict for each in ends} == {"unhealthy"}
    assert max(each.seconds for each in ends) <= 90


@settings(deadline=None, max_examples=15, derandomize=True)
@given(
    errors=st.floats(0.03, 0.3),
    within=st.integers(30, 200),
    scrape=st.floats(2, 20),
    rate=st.floats(2, 40),
)
def test_an_accepted_promise_is_kept(
    errors: float, within: int, scrape: float, rate: float
) -> None:
    try:
        rules = policy(errors=errors, within=within, scrape=scrape, rate=rate)
    except ValidationError:
        assume(False)
    ends = [
        judged(rules, scrapes(seed=n, per_second=rate, errors=errors, every=scrape, seconds=450))
        for n in range(40)
    ]
    assert sum(each.verdict == "unhealthy" and each.seconds <= within for each in ends) >= 37
    assert all(each.verdict != "healthy" for each in ends)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"requests_per_second": 1}, "cannot be caught within 90 s"),
        ({"scrape_interval_seconds": 60}, "60 s for a scrape"),
        ({"interval_seconds": 60}, "looks 60 s apart"),
        ({"window_seconds": 30}, "forgets requests"),
        ({"minimum_requests": 1000}, "minimum_requests of at most"),
        ({"checks": {"error_ratio": {"largest": 0.2}}}, "contradicts the promise"),
    ],
)
def test_a_promise_that_cannot_be_kept_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        HealthPolicy.model_validate({"promise": {"error_ratio": 0.05}} | given)


def test_a_policy_means_the_same_after_a_round_trip() -> None:
    rules = policy()
    assert HealthPolicy.model_validate(rules.model_dump(mode="json")) == rules


def test_in_place_cannot_keep_a_promise() -> None:
    with pytest.raises(ValidationError, match="strategy in_place"):
        RolloutSpec.model_validate({"health": {"promise": {"error_ratio": 0.05}}})


def test_one_unlucky_request_proves_nothing() -> None:
    rules = {"tolerated": 0.005, "caught": 0.05, "risk": 0.001}
    assert sequential(1, 20, **rules) == "inconclusive"
    assert sequential(0, 20, **rules) == "inconclusive"
    assert sequential(0, 200, **rules) == "healthy"
    assert wilson(1, 20, risk=0.001)[0] < 0.01


def test_the_bounds_of_a_difference_hold_chance_on_both_sides() -> None:
    # The example (a) of Newcombe's paper: 56 of 70 and 48 of 80, 95 % two-sided.
    low, high = difference((56, 70), (48, 80), risk=0.025)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
    few = difference((10, 500), (2, 100), risk=0.001)
    many = difference((10, 500), (200, 10_000), risk=0.001)
    assert few[0] < many[0] < 0 < many[1] < few[1]


def test_a_canary_as_bad_as_stable_is_not_rejected_for_it() -> None:
    check = Check(name=ERROR_INCREASE, largest=0.01, risk=0.001)
    chance, rejected, passed = random.Random(3), 0, 0
    for _ in range(300):
        ours = sum(chance.random() < 0.02 for _ in range(600))
        theirs = sum(chance.random() < 0.02 for _ in range(60))
        samples = {"requests": 600.0, "stable_requests": 60.0, "error_ratio": ours / 600}
        verdict, _ = by_difference(check, ours / 600 - theirs / 60, samples)
        rejected += verdict == "unhealthy"
        passed += verdict == "healthy"
    assert rejected == 0
    assert passed < 15  # so few of stable's prove nothing, unless they failed themselves


def test_much_worse_than_stable_is_proven() -> None:
    check = Check(name=ERROR_INCREASE, largest=0.01, risk=0.001)
    samples = {"requests": 600.0, "stable_requests": 5000.0, "error_ratio": 0.06}
    assert by_difference(check, 0.06 - 0.002, samples)[0] == "unhealthy"
    samples = {"requests": 5000.0, "stable_requests": 5000.0, "error_ratio": 0.002}
    assert by_difference(check, 0.0, samples)[0] == "healthy"


def test_a_promise_and_a_comparison_fit_together() -> None:
    policy = HealthPolicy.model_validate(
        {
            "promise": {"error_ratio": 0.05, "within_seconds": 90},
            "checks": {"error_ratio": {"largest": 0.005, "largest_increase": 0.01}},
        }
    )
    assert policy.checks.error_ratio is not None
    assert policy.checks.error_ratio.largest_increase == 0.01


def test_each_version_is_asked_for_by_its_own_label() -> None:
    scope = ('namespace="here"',)
    own = Subject(model="m", version=3, scope=scope, version_label="v", stable_version=2)
    rules = HealthPolicy.model_validate(
        {
            "checks": {
                "error_ratio": {"largest": 0.01, "largest_increase": 0.01},
                "latency": [{"percentile": 99, "largest_ms": 50, "largest_factor": 1.5}],
                "saturation": {"largest": 0.9},
                "promql": [{"name": "mine", "query": "{version} - {stable_version}", "largest": 9}],
            }
        }
    )
    found = {each.name: each.promql or "" for each in checks(rules, own)}
    others = {"mine", "stable_requests", "saturation"}
    assert all('namespace="here"' in query for name, query in found.items() if name != "mine")
    assert 'pod=~"m-v3-[a-z0-9]+-[a-z0-9]+"' in found["saturation"]
    assert all('v="3"' in query for name, query in found.items() if name not in others)
    assert 'v="2"' in found["error_ratio_increase"]
    assert 'v="2"' in found["latency_p99_factor"]
    assert 'v="2"' not in found["error_ratio"]
    assert found["mine"] == "3 - 2"
    first = {each.name for each in checks(rules, own.model_copy(update={"stable_version": None}))}
    assert first == {"requests", "error_ratio", "latency_p99_ms", "saturation"}
