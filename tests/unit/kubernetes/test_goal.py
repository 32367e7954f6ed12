from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slipway.kubernetes.changes import (
    Apply,
    Autoscale,
    Change,
    Retire,
    Scale,
    Select,
    Wait,
    Weigh,
)
from slipway.kubernetes.goal import (
    Fleet,
    Goal,
    Seen,
    Selection,
    Sizes,
    canary_replicas,
    next_change,
)

_MOST_CHANGES = 60
_VERSIONS = (1, 2, 3)


@dataclass
class SimulatedCluster:
    """Follows changes as a cluster does, a little at a time, when it is told to."""

    fleets: dict[int, Fleet] = field(default_factory=dict)
    selection: Selection = None
    served_stable: int | None = None
    endpoints: dict[int, int] = field(default_factory=dict)
    weights: dict[int, int] = field(default_factory=dict)

    @property
    def seen(self) -> Seen:
        return Seen(
            dict(self.fleets),
            self.selection,
            self.served_stable,
            dict(self.endpoints),
            dict(self.weights),
        )

    def selected_ready(self) -> int:
        """Ready pods that the entry Service sends requests to, once its endpoints follow."""
        return sum(
            fleet.ready
            for version, fleet in self.fleets.items()
            if self.selection in (version, "all")
        )

    def weighed_ready(self) -> bool:
        """Whether each backend of the route that gets requests has a ready pod."""
        return all(
            version in self.fleets and self.fleets[version].ready for version in self.weights
        )

    def change(self, change: Change, goal: Goal) -> None:
        if isinstance(change, Apply):
            found = self.fleets.get(change.version, Fleet(1))
            self.fleets[change.version] = replace(found, current=True)
        elif isinstance(change, Scale):
            found = self.fleets[change.version]
            ready = min(found.ready, change.replicas)
            self.fleets[change.version] = replace(
                found, replicas=change.replicas, ready=ready, settled=ready == change.replicas
            )
        elif isinstance(change, Select):
            self.selection, self.served_stable = change.selection, goal.stable
        elif isinstance(change, Weigh):
            self.weights = dict(change.weights)
        elif isinstance(change, Autoscale):
            found = self.fleets[change.version]
            self.fleets[change.version] = replace(found, autoscaler=True)
        elif isinstance(change, Retire):
            del self.fleets[change.version]

    def follow(self) -> None:
        self.fleets = {
            version: replace(fleet, ready=fleet.replicas, settled=True)
            for version, fleet in self.fleets.items()
        }
        self.endpoints = {
            version: fleet.ready
            for version, fleet in self.fleets.items()
            if self.selection in (version, "all") and fleet.ready
        }


@st.composite
def _fleets(draw: st.DrawFn) -> Fleet:
    replicas = draw(st.integers(0, 4))
    ready = draw(st.integers(0, replicas))
    settled = ready == replicas and draw(st.booleans())
    booleans = st.booleans()
    return Fleet(replicas, ready, settled, draw(booleans), draw(booleans), draw(booleans))


@st.composite
def _clusters(draw: st.DrawFn) -> SimulatedCluster:
    fleets = draw(st.dictionaries(st.sampled_from(_VERSIONS), _fleets()))
    selections: st.SearchStrategy[int | Literal["all"] | None] = st.sampled_from(
        [None, "all", *_VERSIONS]
    )
    return SimulatedCluster(
        fleets,
        draw(selections),
        draw(st.sampled_from([None, *_VERSIONS])),
        draw(st.dictionaries(st.sampled_from(_VERSIONS), st.integers(0, 3))),
        draw(st.dictionaries(st.sampled_from(_VERSIONS), st.integers(1, 100), max_size=2)),
    )


_GOALS = st.builds(
    Goal,
    stable=st.sampled_from([None, 1]),
    canary=st.sampled_from([None, 2]),
    share=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    full=st.booleans(),
)
_SIZES = st.builds(
    Sizes, st.integers(1, 3), autoscaled=st.booleans(), canary_full=st.booleans(),
    weighted=st.booleans(),
)  # fmt: skip


@given(_clusters(), _GOALS, _SIZES)
@settings(max_examples=200, deadline=None)
def test_no_change_takes_the_last_ready_pod_from_the_entry_service(
    cluster: SimulatedCluster, goal: Goal, sizes: Sizes
) -> None:
    for _ in range(_MOST_CHANGES):
        change = next_change(goal, cluster.seen, sizes)
        if change is None or isinstance(change, Wait):
            return
        served, routed = cluster.selected_ready(), cluster.weighed_ready()
        cluster.change(change, goal)
        assert not served or cluster.selected_ready(), change
        assert not routed or cluster.weighed_ready(), change


@example(
    SimulatedCluster({}, None, None, {}, {}),
    Goal(1, 2, 0.9),
    Sizes(1, autoscaled=True, canary_full=False, weighted=False),
)
@given(_clusters(), _GOALS, _SIZES)
@settings(max_examples=200, deadline=None)
def test_from_whatever_state_the_goal_is_reached(
    cluster: SimulatedCluster, goal: Goal, sizes: Sizes
) -> None:
    for _ in range(_MOST_CHANGES):
        change = next_change(goal, cluster.seen, sizes)
        if change is None:
            break
        cluster.change(change, goal)
        cluster.follow()
    else:
        pytest.fail(f"never reached: {change} again and again")
    assert set(goal.versions) <= set(cluster.fleets)
    if goal.stable is not None:
        assert cluster.selected_ready()
        assert set(cluster.fleets) == set(goal.versions)
        if sizes.weighted:
            assert cluster.weights


@given(_clusters(), _SIZES, st.sampled_from([0.1, 0.5, 1.0]))
@settings(max_examples=300, deadline=None)
def test_a_rollback_takes_all_requests_from_the_canary_before_anything_else(
    cluster: SimulatedCluster, sizes: Sizes, share: float
) -> None:
    stable = Fleet(2, 1)
    sizes = replace(sizes, weighted=False)
    selection: Selection = 2 if share == 1 else "all"
    cluster = replace(cluster, selection=selection, served_stable=1)
    cluster.fleets = {**cluster.fleets, 1: stable, 2: Fleet(2, 2, settled=True)}
    assert next_change(Goal(1), cluster.seen, sizes) == Select(1)


def test_a_new_version_takes_over_only_with_all_of_its_pods() -> None:
    seen = Seen(
        {1: Fleet(4, 4, settled=True), 2: Fleet(4, 3)}, "all", served_stable=1,
        endpoints={1: 4, 2: 3},
    )  # fmt: skip
    change = next_change(Goal(2), seen, Sizes(4))
    assert isinstance(change, Wait)
    assert change.version == 2


def test_before_it_takes_over_a_canary_gets_all_the_pods_that_it_needs() -> None:
    stable, one = Fleet(4, 4, settled=True), Fleet(1, 1, settled=True)
    seen = Seen({1: stable, 2: one}, "all", 1, {1: 4, 2: 1})
    goal = Goal(1, 2, 0.2, full=True)
    assert next_change(goal, seen, Sizes(4)) == Scale(2, 4)
    grown = replace(seen, fleets={1: stable, 2: stable}, endpoints={1: 4, 2: 4})
    assert next_change(goal, grown, Sizes(4)) is None


def test_a_canary_keeps_its_pods_while_stable_lacks_some_of_its_own() -> None:
    lacking = Seen({1: Fleet(2, 2, settled=True), 2: Fleet(2, 1)}, "all", 2, {1: 2, 2: 1})
    assert not isinstance(next_change(Goal(2, 1), lacking, Sizes(2)), Scale)
    whole = replace(lacking, fleets={1: Fleet(2, 2, settled=True), 2: Fleet(2, 2, settled=True)})
    back = replace(whole, selection=2, endpoints={2: 2})
    assert next_change(Goal(2, 1), back, Sizes(2)) == Scale(1, 1)


def test_an_autoscaler_keeps_what_it_scaled_to_and_its_successor_begins_there() -> None:
    scaled = {1: Fleet(7, 7, settled=True, autoscaler=True)}
    sizes = Sizes(2, autoscaled=True)
    assert next_change(Goal(1), Seen(scaled, 1, 1, {1: 7}), sizes) is None
    both = {**scaled, 2: Fleet(1, 1, settled=True)}
    assert next_change(Goal(2), Seen(both, 1, 1, {1: 7}), sizes) == Scale(2, 7)


def test_replicas_that_somebody_else_set_are_left_alone() -> None:
    seen = Seen({1: Fleet(5, 5, settled=True, foreign_scale=True)}, 1, 1, {1: 5})
    assert next_change(Goal(1), seen, Sizes(2)) is None


@pytest.mark.parametrize(
    ("share", "stable", "pods"),
    [(0.0, 5, 1), (0.1, 2, 1), (0.1, 9, 1), (0.5, 2, 2), (0.5, 3, 3), (0.25, 6, 2), (0.9, 1, 9)],
)
def test_a_share_is_given_by_the_nearest_number_of_pods(
    share: float, stable: int, pods: int
) -> None:
    assert canary_replicas(share, stable) == pods


@given(st.floats(0, 0.95), st.integers(1, 50))
def test_no_other_number_of_pods_is_nearer_to_the_share(share: float, stable: int) -> None:
    def error(pods: int) -> float:
        return abs(pods / (pods + stable) - share)

    pods = canary_replicas(share, stable)
    assert all(error(pods) <= error(other) + 1e-9 for other in range(1, 1000))
