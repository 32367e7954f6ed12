"""One cluster for the whole tier: a real one of its own, or the one that KUBECONFIG names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from slipway.errors import SlipwayError
from support.kubernetes.existing import existing_cluster
from support.kubernetes.own import own_cluster
from support.kubernetes.rollouts import cluster_stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.kubernetes.cluster import Cluster
    from support.kubernetes.rollouts import ClusterStack

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All that is in this folder needs the cluster."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.kubernetes)


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """The cluster; the first run compiles it."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", flush=True)  # noqa: T201 - minutes go by here

    try:
        if existing := existing_cluster():
            yield existing
            return
        with own_cluster(say) as own:
            yield own
    except SlipwayError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterStack]:
    """The cluster with a bucket, Prometheus and versions to roll out."""
    folder = tmp_path_factory.mktemp("rollouts")
    with cluster_stack(cluster, folder) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(autouse=True)
def _left_as_found(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "cluster" in request.fixturenames:
        cluster: Cluster = request.getfixturevalue("cluster")
        cluster.heal()
        cluster.delete_namespaces()
