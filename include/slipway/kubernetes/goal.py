"""What a cluster is to serve, what it serves, and the next safe change between the two. Pure.

The entry Service is what clients use. Whatever was left behind, no change takes the last ready
pod of the version that it serves away from it: its selector moves only to pods that are ready, and
pods go only after the EndpointSlices say that no request is sent to them any more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

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

if TYPE_CHECKING:
    from collections.abc import Mapping

Selection = int | Literal["all"] | None
"""What the entry Service selects: the pods of one version, all of the model's, or no Service."""


@dataclass(frozen=True)
class Goal:
    """What the channels ask for.

    Attributes:
        stable: The stable version; None before the first promotion.
        canary: The version beside it.
        share: Of all requests, for the canary, from 0 to 1; with 1 stable's pods are kept.
        full: Whether the canary is to have all the pods that it needs as stable.
    """

    stable: int | None
    canary: int | None = None
    share: float = 0.0
    full: bool = False

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions that are to run, stable first."""
        return tuple(v for v in (self.stable, self.canary) if v is not None)


@dataclass(frozen=True)
class Sizes:
    """How many pods.

    Attributes:
        full: Pods that take all requests.
        autoscaled: Whether the stable version has a HorizontalPodAutoscaler.
        canary_full: Whether a canary has as many pods as stable from the beginning: blue-green.
        weighted: Whether a route's weights share the requests, instead of the number of pods.
    """

    full: int
    autoscaled: bool = False
    canary_full: bool = False
    weighted: bool = False


@dataclass(frozen=True)
class Fleet:
    """The Deployment of one version.

    Attributes:
        replicas: Pods that it is to have.
        ready: Pods that are ready, of the template as it is now.
        settled: Whether all of them are, and none of an older template is left.
        current: Whether its objects are what Slipway would apply now.
        autoscaler: Whether it has a HorizontalPodAutoscaler of Slipway's.
        foreign_scale: Whether somebody else than Slipway set the replicas last.
    """

    replicas: int
    ready: int = 0
    settled: bool = False
    current: bool = True
    autoscaler: bool = False
    foreign_scale: bool = False


@dataclass(frozen=True)
class Seen:
    """What a cluster serves of a model.

    Attributes:
        fleets: The Deployments, by version.
        selection: What the entry Service selects.
        served_stable: The version that was stable when the entry Service was last pointed.
        endpoints: Ready endpoints of the entry Service by version, as EndpointSlices say.
        weights: Weights in the route by version; empty without a route.
    """

    fleets: Mapping[int, Fleet] = field(default_factory=dict)
    selection: Selection = None
    served_stable: int | None = None
    endpoints: Mapping[int, int] = field(default_factory=dict)
    weights: Mapping[int, int] = field(default_factory=dict)


_FOLLOW = Wait("the endpoints of the entry Service to follow its selector")


def canary_replicas(share: float, stable: int) -> int:
    """The pods of a canary that give it the share nearest to what was asked, at least one.

    Every pod of a Service gets the same share of new connections, so k of R + k pods get
    k / (R + k).

    Args:
        share: Of all requests, at least 0 and below 1.
        stable: Pods of stable.
    """
    exact = share * stable / (1 - share)
    candidates = {max(1, math.floor(exact)), max(1, math.ceil(exact))}
    return min(candidates, key=lambda pods: (abs(pods / (stable + pods) - share), pods))


def next_change(goal: Goal, seen: Seen, sizes: Sizes) -> Change | None:
    """The next safe change on the way to the goal; None once it is reached."""
    return (
        _withdrawn(goal, seen, sizes)
        or _running(goal, seen, sizes)
        or _weighed(goal, seen, sizes)
        or _selected(goal, seen, sizes)
        or _retired(goal, seen)
        or _autoscaled(goal, seen, sizes)
        or _settled(goal, seen)
    )


def wanted_replicas(goal: Goal, seen: Seen, sizes: Sizes, version: int) -> int:
    """How many pods a version is to have now."""
    current = seen.fleets.get(version)
    stable = seen.fleets.get(goal.stable or 0)
    if version != goal.stable:
        full = max(stable.replicas if stable else sizes.full, 1)
        if goal.full:
            return max(full, sizes.full)
        everything = sizes.canary_full or goal.share >= 1
        return full if everything else _beside(goal.share, full, sizes)
    if current and (current.foreign_scale or (sizes.autoscaled and current.autoscaler)):
        return max(current.replicas, 1)
    if not sizes.autoscaled:
        return sizes.full
    # It takes over what its predecessor was scaled to; its own autoscaler goes on from there.
    served = [
        fleet.replicas
        for number, fleet in seen.fleets.items()
        # A canary's pods are counted from stable's: were these from the canary's, both would grow.
        if seen.endpoints.get(number) and number != goal.canary
    ]
    return max([sizes.full, *served])


def _beside(share: float, stable: int, sizes: Sizes) -> int:
    if sizes.weighted:
        return max(1, math.ceil(share * stable))
    return canary_replicas(share, stable)


def wanted_selection(goal: Goal, sizes: Sizes) -> Selection:
    """What the entry Service is to select in the end; None: it is left as it is."""
    if goal.stable is None or goal.canary is None or goal.share <= 0 or sizes.weighted:
        return goal.stable
    return goal.canary if goal.share >= 1 else "all"


def _withdrawn(goal: Goal, seen: Seen, sizes: Sizes) -> Change | None:
    """Requests are taken back to stable at once, before anything else is tended to."""
    stable = goal.stable
    if stable is None or seen.served_stable != stable or not _ready(seen, stable):
        return None
    wanted = wanted_selection(goal, sizes)
    strangers = set(seen.fleets) - set(goal.versions)
    back = wanted == stable and seen.selection != stable
    mixed = wanted == seen.selection == "all" and strangers
    if seen.selection is not None and (back or mixed):
        return Select(stable)
    if _wanted_weights(goal, sizes) == {stable: 100} != dict(seen.weights) != {}:
        return Weigh({stable: 100})
    return None


def _running(goal: Goal, seen: Seen, sizes: Sizes) -> Change | None:
    for version in goal.versions:
        fleet = seen.fleets.get(version)
        if fleet is None or not fleet.current:
            return Apply(version)
        wanted = wanted_replicas(goal, seen, sizes, version)
        if fleet.replicas < wanted or (fleet.replicas > wanted and _may_shrink(goal, seen)):
            return Scale(version, wanted)
    return None


def _may_shrink(goal: Goal, seen: Seen) -> bool:
    """A canary keeps its pods while it has all requests, or stable does not have all of its own."""
    taken_back = seen.selection in (goal.stable, "all", None)
    return taken_back and (goal.stable is None or _complete(seen, goal.stable))


def _wanted_weights(goal: Goal, sizes: Sizes) -> dict[int, int]:
    """The route splits between the Services of the versions; the entry stays on stable."""
    if not sizes.weighted or goal.stable is None:
        return {}
    canary = round(100 * goal.share) if goal.canary is not None else 0
    weights = {goal.stable: 100 - canary, goal.canary or 0: canary}
    return {version: weight for version, weight in weights.items() if weight}


def _weighed(goal: Goal, seen: Seen, sizes: Sizes) -> Change | None:
    wanted = _wanted_weights(goal, sizes)
    if dict(seen.weights) == wanted:
        return None
    return _awaited(seen, *wanted) or Weigh(wanted)


def _selected(goal: Goal, seen: Seen, sizes: Sizes) -> Change | None:
    wanted = wanted_selection(goal, sizes)
    if wanted is None or goal.stable is None:
        return None
    strangers = sorted(set(seen.fleets) - set(goal.versions))
    shared = wanted == "all"
    if seen.selection == wanted and not (shared and strangers):
        reached = {version for version, count in seen.endpoints.items() if count}
        return None if reached == (set(goal.versions) if shared else {wanted}) else _FOLLOW
    if wanted != "all":
        return _awaited(seen, wanted) or Select(wanted)
    # With all of the model's pods selected, only those two versions may have any.
    if seen.selection != goal.stable:
        return _awaited(seen, goal.stable) or Select(goal.stable)
    if strangers:
        return _FOLLOW if _serves(seen, strangers[0]) else Retire(strangers[0])
    return _awaited(seen, *goal.versions) or Select("all")


def _retired(goal: Goal, seen: Seen) -> Change | None:
    for version in sorted(set(seen.fleets) - set(goal.versions)):
        # Before the first promotion a Service that somebody's lost channel left serves on.
        if not _serves(seen, version):
            return Retire(version)
    return None


def _autoscaled(goal: Goal, seen: Seen, sizes: Sizes) -> Change | None:
    stable = seen.fleets.get(goal.stable or 0)
    if sizes.autoscaled and stable and goal.stable is not None and not stable.autoscaler:
        return Autoscale(goal.stable)
    return None


def _settled(goal: Goal, seen: Seen) -> Change | None:
    stable = goal.stable
    # An autoscaler or a lost node may unsettle stable at any time: that it serves is enough.
    if stable is not None and not _ready(seen, stable):
        return _awaited(seen, stable)
    return _awaited(seen, goal.canary) if goal.canary is not None else None


def _awaited(seen: Seen, *versions: int) -> Wait | None:
    for version in versions:
        if not _complete(seen, version):
            return Wait(f"the pods of version {version} to be ready", version)
    return None


def _ready(seen: Seen, version: int) -> bool:
    fleet = seen.fleets.get(version)
    return fleet is not None and fleet.ready > 0


def _complete(seen: Seen, version: int) -> bool:
    fleet = seen.fleets.get(version)
    return fleet is not None and fleet.settled and fleet.ready >= max(fleet.replicas, 1)


def _serves(seen: Seen, version: int) -> bool:
    return (
        seen.selection in (version, "all")
        or bool(seen.endpoints.get(version))
        or bool(seen.weights.get(version))
    )
