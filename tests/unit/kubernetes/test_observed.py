"""What is seen of a model on a cluster, and whose orders are too old to be followed."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.errors import TerminalError
from slipway.kubernetes import names
from slipway.kubernetes.goal import Goal
from slipway.kubernetes.observed import Observer, Order
from slipway.kubernetes.rendered import Rendered
from support.kubernetes_specs import served_model

_GENERATIONS = "3.8"


class _Cluster:
    """Holds the entry Service and nothing else."""

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        if kind != "Service":
            return None
        annotations = {names.GENERATION: _GENERATIONS, names.ROLLOUT: "newer"}
        labels = {names.MANAGED_BY_LABEL: names.MANAGER}
        metadata = {"name": name, "namespace": namespace}
        return {
            "metadata": {**metadata, "labels": labels, "annotations": annotations},
            "spec": {"selector": {names.VERSION_LABEL: "4"}},
        }

    def list(self, *_args: object, **_more: object) -> list[dict[str, Any]]:
        return []


def _look(stable: int, canary: int) -> Any:
    spec, cluster = served_model(), _Cluster()
    watcher = Observer(cluster, spec, Rendered(spec))  # type: ignore[arg-type]  # as much as it asks
    return watcher.look(Order(Goal(4, 5), (stable, canary), 5, {}, "own"))


@pytest.mark.parametrize(("stable", "canary"), [(3, 8), (4, 8), (3, 9), (9, 9)])
def test_whoever_knows_the_channels_of_the_last_writer_or_newer_ones_may_act(
    stable: int, canary: int
) -> None:
    assert _look(stable, canary).seen.selection == 4


@pytest.mark.parametrize(("stable", "canary"), [(2, 8), (3, 7), (2, 9), (9, 7), (0, 0)])
def test_whoever_knows_an_older_channel_than_the_last_writer_is_refused(
    stable: int, canary: int
) -> None:
    with pytest.raises(TerminalError, match=r"a newer rollout \(newer\) has written") as caught:
        _look(stable, canary)
    assert "nothing was changed" in caught.value.hint
