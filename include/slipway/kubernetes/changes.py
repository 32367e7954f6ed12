"""The changes by which a cluster is brought to a goal, one at a time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Apply:
    """Bring the objects of a version to what the spec says; its replicas stay."""

    version: int


@dataclass(frozen=True)
class Scale:
    """Set the replicas of a version."""

    version: int
    replicas: int


@dataclass(frozen=True)
class Select:
    """Point the entry Service to the pods of a version, or to all; make it if there is none."""

    selection: int | Literal["all"]


@dataclass(frozen=True)
class Weigh:
    """Set the route's weights."""

    weights: Mapping[int, int]


@dataclass(frozen=True)
class Autoscale:
    """Give a version its HorizontalPodAutoscaler."""

    version: int


@dataclass(frozen=True)
class Retire:
    """Delete a version's Deployment and all that belongs to it; its pods drain."""

    version: int


@dataclass(frozen=True)
class Wait:
    """Nothing to do until the cluster has followed.

    Attributes:
        reason: For what, in words.
        version: Whose pods, if it is pods.
    """

    reason: str
    version: int | None = None


Change = Apply | Scale | Select | Weigh | Autoscale | Retire | Wait
