from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.rollout.deploy import deploy
from slipway.rollout.preflight import preflight
from slipway.rollout.promote import promote
from slipway.rollout.session import Rollout, RolloutConfig, RolloutParameters
from slipway.rollout.target import Target
from slipway.serving.channels import move_channel
from slipway.serving.publish import publish
from slipway.spec.rollout import RolloutSpec, ServeSpec
from slipway.storage import open_store
from support.models import write_model
from support.rollouts import HEALTH, golden

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.storage import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "bucket"))


@pytest.fixture
def digests(store: Store, tmp_path: Path) -> dict[int, str]:
    """Three published versions, the second of them stable."""
    found = {}
    for seed in (1, 2, 3):
        published = publish(
            store,
            "digits",
            write_model(tmp_path / f"model{seed}", seed=seed),
            variant="lite",
            metrics={},
            golden=golden("digits", seed).model_dump_json().encode(),
        )
        found[published.version] = published.digest
    move_channel(store, "digits", "stable", version=2, digest=found[2], expected_generation=0)
    return found


def rollout(store: Store, version: int, digest: str, **parameters: Any) -> Rollout:
    health = RolloutSpec.model_validate({"health": HEALTH})
    return Rollout(
        "digits",
        RolloutConfig(base_uri=store.uri, serve=ServeSpec(), rollout=health),
        RolloutParameters.model_validate(
            {"version": version, "digest": digest, "rollout_id": "run"} | parameters
        ),
        store,
        Target({"SLIPWAY_MODEL_SERVER_URL": "http://server", "SLIPWAY_MODEL_CONFIG_FILE": "/c"}),
    )


def test_a_newer_version_may_begin(store: Store, digests: dict[int, str]) -> None:
    details = preflight(rollout(store, 3, digests[3]))
    assert details["stable_version"] == 2
    assert details["already_stable"] is False
    assert details["variant"] == "lite"
    assert details["golden_requests"] == 3


def test_stable_itself_is_recognised(store: Store, digests: dict[int, str]) -> None:
    assert preflight(rollout(store, 2, digests[2]))["already_stable"] is True


def test_an_older_version_is_refused_unless_it_is_meant(
    store: Store, digests: dict[int, str]
) -> None:
    with pytest.raises(TerminalError, match="older than version 2, which is stable") as caught:
        preflight(rollout(store, 1, digests[1]))
    assert caught.value.details == {"stable": 2}
    assert preflight(rollout(store, 1, digests[1], allow_older=True))["already_stable"] is False


def test_a_version_that_does_not_exist_is_refused(store: Store, digests: dict[int, str]) -> None:
    with pytest.raises(TerminalError, match="no version 4"):
        preflight(rollout(store, 4, digests[1]))


def test_other_content_than_asked_for_is_refused(store: Store, digests: dict[int, str]) -> None:
    with pytest.raises(TerminalError, match="was asked for"):
        preflight(rollout(store, 3, digests[1]))


def test_golden_requests_that_somebody_changed_are_refused(
    store: Store, digests: dict[int, str]
) -> None:
    store.put("digits/_slipway/golden/3.json", b"{}")
    with pytest.raises(TerminalError, match="not those of the manifest"):
        preflight(rollout(store, 3, digests[3]))


def test_only_a_healthy_version_is_promoted(store: Store, digests: dict[int, str]) -> None:
    decision = {
        "verdict": "inconclusive",
        "reasons": ["requests is 3, less than the smallest allowed, 50"],
        "results": [],
        "looks": [],
        "started_at": 0,
    }
    with pytest.raises(TerminalError, match="is inconclusive: requests is 3"):
        promote(rollout(store, 3, digests[3], decision=decision))
    stable = rollout(store, 3, digests[3]).channel("stable")
    assert stable is not None
    assert stable.version == 2


def test_of_two_canaries_at_the_same_moment_the_newer_one_has_the_channel(
    store: Store, digests: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def beaten(*given: Any, **more: Any) -> None:
        monkeypatch.undo()
        move_channel(store, "digits", "canary", version=1, digest=digests[1],
                     expected_generation=0)  # fmt: skip
        move_channel(*given, **more)

    monkeypatch.setattr("slipway.rollout.session.move_channel", beaten)
    begun = rollout(store, 3, digests[3])
    with pytest.raises(TerminalError, match="config file"):
        deploy(begun)
    assert begun.holds(begun.channel("canary"))


def for_triton(store: Store, tmp_path: Path, **serve: Any) -> Rollout:
    folder = tmp_path / "graph"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"a graph")
    published = publish(store, "digits", folder, variant="onnx", metrics={})
    asked = rollout(store, published.version, published.digest)
    config = asked.config.model_copy(update={"serve": ServeSpec.model_validate(serve)})
    return replace(asked, config=config)


def test_triton_without_a_cluster_is_refused_by_name(store: Store, tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="for Triton, which rollouts drive on Kubernetes only"):
        preflight(for_triton(store, tmp_path, server="triton"))


def test_a_version_for_another_model_server_is_refused(store: Store, tmp_path: Path) -> None:
    asked = for_triton(store, tmp_path)
    with pytest.raises(TerminalError, match=r"\(onnx\) holds nothing that tensorflow_serving"):
        preflight(asked)


def test_a_version_without_a_config_for_triton_is_refused(store: Store, tmp_path: Path) -> None:
    kubernetes = {"namespace": "serving", "image": "mirror.example/tritonserver:26.09-py3"}
    asked = for_triton(store, tmp_path, server="triton", kubernetes=kubernetes)
    with pytest.raises(TerminalError, match="version 1 of digits was not published for Triton"):
        preflight(asked)
