"""A version with engines for other hardware is refused before anything moves, or gives way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.rollout.preflight import preflight
from slipway.rollout.session import Rollout, RolloutConfig, RolloutParameters
from slipway.rollout.target import Target
from slipway.serving.channels import move_channel, read_channel
from slipway.serving.engine import Engine, Fallback
from slipway.serving.publish import publish
from slipway.spec.rollout import RolloutSpec, ServeSpec
from slipway.storage import open_store
from support.models import write_model
from support.rollouts import HEALTH

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.storage import Store

HERE = {"compute_capability": "9.0"}
ELSEWHERE = {"compute_capability": "8.6"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "bucket"))


@pytest.fixture
def digests(store: Store, tmp_path: Path) -> dict[int, str]:
    """Version 1 is stable, 2 is the fallback of the engines of 3; those of 4 have none."""
    found: dict[int, str] = {}
    for version, variant in enumerate(("original", "lite", "trt", "trt"), 1):
        engine = None
        if variant == "trt":
            other = Fallback(variant="lite", version=2, digest=found[2])
            engine = Engine(
                backend="tf_trt",
                tensorrt="8.6.1",
                compute_capability="9.0",
                gpu="a GPU",
                fallback=other if version == 3 else None,
            )
        published = publish(
            store,
            "digits",
            write_model(tmp_path / f"model{version}", seed=version),
            variant=variant,
            metrics={},
            engine=engine,
        )
        found[published.version] = published.digest
    move_channel(store, "digits", "stable", version=1, digest=found[1], expected_generation=0)
    return found


def rollout(store: Store, version: int, digest: str, **serve: Any) -> Rollout:
    return Rollout(
        "digits",
        RolloutConfig(
            base_uri=store.uri,
            serve=ServeSpec.model_validate(serve),
            rollout=RolloutSpec.model_validate({"health": HEALTH}),
        ),
        RolloutParameters(version=version, digest=digest, rollout_id="run"),
        store,
        Target({"SLIPWAY_MODEL_SERVER_URL": "http://server", "SLIPWAY_MODEL_CONFIG_FILE": "/c"}),
    )


def test_engines_that_fit_are_rolled_out(store: Store, digests: dict[int, str]) -> None:
    details = preflight(rollout(store, 3, digests[3], **HERE, fallback="lite"))
    assert (details["version"], details["variant"], details["instead_of"]) == (3, "trt", None)


@pytest.mark.parametrize(
    ("version", "serve", "complaint"),
    [
        (3, ELSEWHERE, "built for compute capability 9.0.*names no serve.fallback"),
        (3, {}, "nothing says which GPUs.*names no serve.fallback"),
        (3, {**HERE, "tensorrt": "8.5.3"}, r"built by TensorRT 8.6.1.*names no serve.fallback"),
        (4, {**ELSEWHERE, "fallback": "lite"}, "published without one"),
    ],
)
def test_other_hardware_is_refused_before_anything_moves(
    store: Store, digests: dict[int, str], version: int, serve: dict[str, Any], complaint: str
) -> None:
    before = store.list("digits")
    with pytest.raises(TerminalError, match=complaint) as caught:
        preflight(rollout(store, version, digests[version], **serve))
    assert caught.value.details["engine"]["compute_capability"] == "9.0"
    assert store.list("digits") == before
    assert read_channel(store, "digits", "canary") is None


@pytest.mark.parametrize("serve", [ELSEWHERE, {}, {**HERE, "tensorrt": "10.1"}])
def test_other_hardware_takes_the_fallback(
    store: Store, digests: dict[int, str], serve: dict[str, Any]
) -> None:
    asked = rollout(store, 3, digests[3], **serve, fallback="lite")
    details = preflight(asked)
    assert (details["version"], details["digest"]) == (2, digests[2])
    assert (details["variant"], details["instead_of"]) == ("lite", 3)
    taken = asked.of_version(details["version"], details["digest"])
    assert preflight(taken)["instead_of"] is None
    assert store.list(f"digits/_slipway/rollouts/{2}")
    assert not store.list(f"digits/_slipway/rollouts/{3}")


def test_a_fallback_is_behind_the_same_fence(store: Store, digests: dict[int, str]) -> None:
    move_channel(store, "digits", "stable", version=4, digest=digests[4], expected_generation=1)
    with pytest.raises(TerminalError, match="version 2 of digits is older than version 4"):
        preflight(rollout(store, 3, digests[3], **ELSEWHERE, fallback="lite"))


def test_a_fallback_that_retention_has_removed_is_said_so(
    store: Store, digests: dict[int, str]
) -> None:
    store.delete("digits/2/slipway.json")
    with pytest.raises(TerminalError, match="no version 2 of digits"):
        preflight(rollout(store, 3, digests[3], **ELSEWHERE, fallback="lite"))


def test_a_version_for_triton_is_not_given_to_tensorflow_serving(
    store: Store, digests: dict[int, str]
) -> None:
    with pytest.raises(TerminalError, match="for Triton, which rollouts drive on Kubernetes only"):
        preflight(rollout(store, 2, digests[2], server="triton"))
