"""Whom a judge judges: which series are the canary's, and which are stable's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from slipway.contracts import Contract
from slipway.spec.rollout import ModelServer

if TYPE_CHECKING:
    from slipway.spec.rollout import RolloutSpec, ServeSpec


class Subject(Contract):
    """The canary in Prometheus' eyes.

    Attributes:
        model: The model's name.
        version: The canary.
        scope: Label matchers that tell this model from others of its name, such as
            namespace="models"; none where there is one server.
        version_label: Label that says which version a series belongs to; None where one server
            has both versions, whose series then count for both.
        stable_version: What served before; None before the first promotion.
        server: Whose metrics they are.
        since: What came before, Unix time in seconds, is not judged: a canary that got a greater
            share has to prove itself anew. None: all of the window is.
    """

    model: str
    version: int
    scope: tuple[str, ...] = ()
    version_label: str | None = None
    stable_version: int | None = None
    server: ModelServer = "tensorflow_serving"
    since: float | None = None

    @classmethod
    def of(
        cls,
        rollout: RolloutSpec,
        serve: ServeSpec,
        model: str,
        version: int,
        *,
        stable_version: int | None = None,
        since: float | None = None,
    ) -> Self:
        """As the strategy deploys it: with pods of its own everywhere but in_place."""
        health = rollout.health
        scope: tuple[str, ...] = ()
        if serve.kubernetes is not None and health.namespace_label is not None:
            scope = (f'{health.namespace_label}="{serve.kubernetes.namespace}"',)
        label = None if rollout.strategy == "in_place" else health.version_label
        stable = None if stable_version == version else stable_version
        return cls(
            model=model,
            version=version,
            scope=scope,
            version_label=label,
            stable_version=stable,
            server=serve.server,
            since=since,
        )

    @property
    def fresh(self) -> bool:
        """Whether all that the canary's series ever counted belongs to what is judged."""
        return self.version_label is not None and self.since is None

    @property
    def canary(self) -> tuple[str, ...]:
        """Label matchers of the canary's series."""
        return self._matchers(self.version)

    @property
    def stable(self) -> tuple[str, ...] | None:
        """Label matchers of stable's series; None if they cannot be told from the canary's."""
        if self.version_label is None or self.stable_version is None:
            return None
        return self._matchers(self.stable_version)

    def _matchers(self, version: int) -> tuple[str, ...]:
        if self.version_label is None:
            return self.scope
        return (*self.scope, f'{self.version_label}="{version}"')
