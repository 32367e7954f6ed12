"""Rollouts from end to end: real model server, real S3 server, real Prometheus."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Literal

import pytest

from slipway.contracts import StepRequest
from slipway.errors import TerminalError, TransientError
from slipway.process import run_step
from slipway.rollout.deploy import deploy
from slipway.rollout.endpoint import Endpoint
from slipway.rollout.evidence import Evidence
from slipway.rollout.probe import probe
from slipway.rollout.promote import release_canary
from slipway.rollout.run import roll_out
from slipway.rollout.server import ModelServer
from slipway.rollout.target import Target
from slipway.run import execute
from slipway.spec.model import ModelSpec
from slipway.steps.check import check_bucket
from support.killed import start_step
from support.rollouts import SLOW_SECONDS, Stack, SteadyTraffic, running_stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from slipway.contracts import StepResult
    from slipway.rollout.run import RolloutReport
    from slipway.serving.publish import Published


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)


def spec_of(stack: Stack, model: str, **rollout: Any) -> ModelSpec:
    config = stack.config(**rollout).model_dump(mode="json")
    return ModelSpec.model_validate(
        {
            "model": model,
            "definition": model,
            "gates": {"metrics": {"accuracy": {"floor": 0.5}}},
            "objective": {"maximise": "accuracy"},
            "publish": {"base_uri": stack.uri},
            "serve": config["serve"],
            "rollout": config["rollout"],
            "execution": {"retries": 0},
        }
    )


def start_rollout(
    stack: Stack, model: str, published: Published, **rollout: Any
) -> tuple[RolloutReport, dict[str, Any]]:
    """The report, and the stored evidence by step."""
    report = roll_out(
        spec_of(stack, model, **rollout),
        published.version,
        digest=published.digest,
        rollout_id="manual__2026-11-22T10:00:00+00:00",
        target=Target(stack.environment),
    )
    kept = Evidence(stack.store, model, published.version, "manual__2026-11-22T10:00:00+00:00")
    assert report.evidence == kept.uri
    return report, {step["step"]: step for step in kept.read()["steps"]}


def assert_withdrawn(stack: Stack, model: str, published: Published) -> None:
    with ModelServer(Endpoint(stack.server_url)) as server:
        seen = server.look(model, ["stable", "canary"])
    assert published.version not in seen.available
    assert seen.labels == {"stable": 1}
    canary = stack.rollout(model, published, "look").channel("canary")
    assert canary is not None
    assert canary.version is None


def test_a_healthy_version_takes_over_without_a_failed_request(stack: Stack) -> None:
    stack.make_stable("healthy", "times1", 1)
    second = stack.publish("healthy", "times2", answers_as=2)
    with SteadyTraffic(stack, "healthy") as traffic:
        traffic.wait_for(5)
        report, evidence = start_rollout(stack, "healthy", second)
        traffic.wait_for(20)
    assert report.promoted, report.reasons
    assert traffic.failures == []
    assert traffic.factors[:5] == [1.0] * 5
    assert traffic.factors[-20:] == [2.0] * 20
    assert sorted(traffic.factors) == traffic.factors  # from the old to the new, and never back
    assert evidence["probe"]["metrics"]["probe_requests"] == 43
    assert evidence["promote"]["decision"]["verdict"] == "healthy"
    with ModelServer(Endpoint(stack.server_url)) as server:
        assert server.look("healthy").available == {2}

    again, _ = start_rollout(stack, "healthy", second)
    assert again.already_stable


def test_a_version_whose_weights_were_corrupted_after_validation_is_rolled_back(
    stack: Stack,
) -> None:
    stack.make_stable("corrupted", "times1", 1)
    bad = stack.publish("corrupted", "times3", answers_as=2)
    with SteadyTraffic(stack, "corrupted") as traffic:
        report, evidence = start_rollout(stack, "corrupted", bad)
        traffic.wait_for(5)
    assert not report.promoted
    assert "does not answer as it did when it was validated" in report.reasons[0]
    assert evidence["probe"]["metrics"]["probe_largest_difference"] == pytest.approx(7.0)
    assert any("expected 4, got 6" in line for line in evidence["probe"]["differences"])
    assert evidence["rollback"]["withdrawn"]
    assert traffic.failures == []
    assert set(traffic.factors) == {1.0}
    assert_withdrawn(stack, "corrupted", bad)


def test_a_version_that_cannot_be_loaded_is_rolled_back_with_the_servers_words(
    stack: Stack,
) -> None:
    stack.make_stable("unloadable", "times1", 1)
    bad = stack.publish("unloadable", "times2", answers_as=2)
    stack.store.put("unloadable/2/saved_model.pb", b"no SavedModel")
    with SteadyTraffic(stack, "unloadable") as traffic:
        report, _ = start_rollout(stack, "unloadable", bad)
        traffic.wait_for(5)
    assert not report.promoted
    assert "could not load version 2 of unloadable" in report.reasons[0]
    assert traffic.failures == []
    assert_withdrawn(stack, "unloadable", bad)


@pytest.mark.parametrize(
    ("pause_seconds", "shown_by"),
    [(1.0, "latency_p90_ms"), (0.03, "probe_latency_p90_ms")],  # few and many requests to stable
)
def test_a_slow_version_is_rolled_back_by_its_latency(
    stack: Stack, pause_seconds: float, shown_by: str
) -> None:
    stack.make_stable(shown_by, "times1", 1)
    bad = stack.publish(shown_by, "slow", answers_as=5)
    with SteadyTraffic(stack, shown_by, pause_seconds=pause_seconds) as traffic:
        report, evidence = start_rollout(stack, shown_by, bad)
        traffic.wait_for(3)
    assert not report.promoted
    assert report.decision is not None
    assert report.decision.verdict == "unhealthy"
    assert any(reason.startswith(shown_by) for reason in report.reasons)
    results = {r["check"]["name"]: r for r in evidence["rollback"]["decision"]["results"]}
    assert results[shown_by]["verdict"] == "unhealthy"
    assert results[shown_by]["value"] > results[shown_by]["check"]["largest"] == 100
    assert "histogram_quantile" in results["latency_p90_ms"]["check"]["promql"]
    assert evidence["probe"]["metrics"]["probe_latency_p90_ms"] >= 1000 * SLOW_SECONDS
    assert traffic.failures == []
    assert set(traffic.factors) == {1.0}
    assert_withdrawn(stack, shown_by, bad)


def test_a_version_that_fails_half_its_requests_is_rolled_back(stack: Stack) -> None:
    stack.make_stable("flaky", "times1", 1)
    bad = stack.publish("flaky", "flaky", answers_as=5)
    with SteadyTraffic(stack, "flaky") as traffic:
        report, evidence = start_rollout(stack, "flaky", bad)
        traffic.wait_for(5)
    assert not report.promoted
    assert report.decision is not None
    assert report.decision.verdict == "unhealthy"
    results = {result.check.name: result for result in report.decision.results}
    assert results["error_ratio"].verdict == "unhealthy"
    assert results["probe_error_ratio"].value == pytest.approx(0.5, abs=0.3)
    assert 'status!="OK"' in (results["error_ratio"].check.promql or "")
    assert any("out of luck" in problem for problem in evidence["probe"]["problems"])
    assert traffic.failures == []
    assert set(traffic.factors) == {1.0}
    assert_withdrawn(stack, "flaky", bad)


def test_without_traffic_the_verdict_is_inconclusive(stack: Stack) -> None:
    stack.make_stable("quiet", "times1", 1)
    second = stack.publish("quiet", "times2", answers_as=2)
    report, _ = start_rollout(
        stack, "quiet", second, probe={"requests": 0}, health={"timeout_seconds": 4}
    )
    assert not report.promoted
    assert report.decision is not None
    assert report.decision.verdict == "inconclusive"
    assert {look.verdict for look in report.decision.looks} == {"inconclusive"}
    assert_withdrawn(stack, "quiet", second)


def test_traffic_to_stable_alone_proves_nothing_of_the_canary(stack: Stack) -> None:
    stack.make_stable("busy", "times1", 1)
    second = stack.publish("busy", "times2", answers_as=2)
    with SteadyTraffic(stack, "busy") as traffic:
        traffic.wait_for(50)
        report, _ = start_rollout(
            stack, "busy", second, probe={"requests": 0}, health={"timeout_seconds": 4}
        )
    assert report.decision is not None
    assert report.decision.verdict == "inconclusive"
    results = {result.check.name: result for result in report.decision.results}
    assert results["requests"].verdict == "healthy"
    assert results["probe_requests"].verdict == "inconclusive"
    assert traffic.failures == []


@pytest.mark.parametrize("last", ["promote", "rollback"])
def test_killed_at_any_instant_and_run_again_every_step_finishes_the_same_work(
    stack: Stack, tmp_path: Path, last: Literal["promote", "rollback"]
) -> None:
    model = f"killed_{last}"
    stack.make_stable(model, "times1", 1)
    second = stack.publish(model, "times2", answers_as=2)
    chance = random.Random(7)
    with SteadyTraffic(stack, model) as traffic:
        for step in ("deploy", last):
            request = step_request(stack, model, second, step, tmp_path)
            for _ in range(8):
                process = start_step(request, stack.environment)
                process.join(chance.uniform(0.05, 1.5))
                process.kill()
                process.join()
            result = run_step(request, environment=stack.environment, timeout_seconds=60)
            answers = result.details["labels"]
            assert answers == LABELS_AFTER[step]
        traffic.wait_for(20)
    assert traffic.failures == []
    assert set(traffic.factors[-20:]) == {2.0 if last == "promote" else 1.0}
    with ModelServer(Endpoint(stack.server_url)) as server:
        assert server.look(model).available == {2 if last == "promote" else 1}


LABELS_AFTER = {
    "deploy": {"stable": 1, "canary": 2},
    "promote": {"stable": 2},
    "rollback": {"stable": 1},
}


def step_request(
    stack: Stack, model: str, published: Published, step: str, workspace: Path
) -> StepRequest:
    return StepRequest(
        step=step,
        model=model,
        config=stack.config().model_dump(mode="json"),
        parameters={"version": published.version, "digest": published.digest, "rollout_id": "kill"},
        workspace=str(workspace),
    )


def test_an_older_run_cannot_take_over_from_a_newer_one(stack: Stack, tmp_path: Path) -> None:
    stack.make_stable("fenced", "times1", 1)
    second = stack.publish("fenced", "times2", answers_as=2)
    third = stack.publish("fenced", "times3", answers_as=3)

    def run(step: str, published: Published) -> StepResult:
        return execute(step_request(stack, "fenced", published, step, tmp_path))

    run("deploy", second)
    run("deploy", third)  # the newer canary wins
    for step, complaint in (
        ("deploy", "older than version 3, which is canary"),
        ("probe", "not the canary any more: stable is 1 and canary is 3"),
        ("promote", "not the canary any more"),
    ):
        with pytest.raises(TerminalError, match=complaint):
            run(step, second)
    assert run("rollback", second).details["withdrawn"] is False
    assert stack.factor("fenced", "canary") == 3

    run("promote", third)
    with pytest.raises(TerminalError, match="older than version 3, which is stable"):
        run("preflight", second)
    with pytest.raises(TerminalError, match="is stable, so there is no canary to withdraw"):
        run("rollback", third)
    assert run("promote", third).details["already_stable"]
    assert run("deploy", third).details["already_stable"]
    assert run("preflight", third).details["already_stable"]
    assert run("probe", third).metrics["probe_error_ratio"] == 0
    assert stack.factor("fenced", "stable") == 3


def test_the_bucket_is_checked_before_any_work(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_bucket(stack.uri)
    with pytest.raises(TerminalError):
        check_bucket("s3://no-such-bucket")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(TerminalError):
        check_bucket(stack.uri)


def test_a_server_that_died_comes_back_to_where_the_channels_point(stack: Stack) -> None:
    stack.make_stable("restarted", "times1", 1)
    second = stack.publish("restarted", "times2", answers_as=2)
    rollout = stack.rollout("restarted", second, "run")
    deploy(rollout)
    stack.table.stop("model-server")
    with pytest.raises(TransientError, match="no model server listens"):
        probe(rollout)
    release_canary(rollout)  # as a rollback does that finds no server
    stack.table.start(stack.server)
    rollout.converge()
    assert stack.factor("restarted", "stable") == 1
    assert stack.factor("restarted", "canary") is None
