"""What every step of a rollout works with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt

from slipway.errors import TerminalError
from slipway.health import Decision
from slipway.rollout.config_file import Serving
from slipway.rollout.evidence import Evidence
from slipway.rollout.servers import servers_of
from slipway.rollout.target import Target
from slipway.serving.channels import move_channel, read_channel
from slipway.spec.base import StepConfig
from slipway.spec.rollout import RolloutSpec, ServeSpec
from slipway.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.rollout.servers import Servers
    from slipway.serving.channels import Channel
    from slipway.serving.layout import ChannelName
    from slipway.steps.base import StepContext
    from slipway.storage import Store

CHANNELS: tuple[ChannelName, ...] = ("stable", "canary")


class RolloutConfig(StepConfig):
    """The options of the steps of a rollout: parts of the spec.

    Attributes:
        share: Of the requests, for the canary: of the step `shift` only.
    """

    base_uri: str
    serve: ServeSpec
    rollout: RolloutSpec
    share: float = 0.0


class RolloutParameters(BaseModel):
    """What belongs to one rollout.

    Attributes:
        version: The version to roll out.
        digest: Of its content, as whoever asks for the rollout knows it.
        rollout_id: Names the rollout in evidence and channels.
        allow_older: Whether the version may take over from a newer one.
        decision: What the health gate decided, for promote and rollback.
        reason: Why somebody rolls back, in words.
        approved: Digest of what a person approved; None if nobody was asked.
        patience_seconds: How long a step waits for a version's pods itself, before it leaves that
            to whoever started it; None: to the end. See `slipway.kubernetes.waiting`.
        wait_until: When waiting ends, Unix time in seconds, if an earlier process of the same step
            began it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: PositiveInt
    digest: str
    rollout_id: str
    allow_older: bool = False
    decision: Decision | None = None
    reason: str = ""
    approved: str | None = None
    patience_seconds: float | None = None
    wait_until: float | None = None


@dataclass(frozen=True)
class Rollout:
    """One version of one model on its way to stable.

    Attributes:
        model: The model's name.
        config: How to roll out.
        parameters: What, and for whom.
        store: Open at the base URI.
        target: The servers.
        say: Told of everything that happens, a line each.
    """

    model: str
    config: RolloutConfig
    parameters: RolloutParameters
    store: Store
    target: Target
    say: Callable[[str], None] = field(default=lambda _line: None)

    @classmethod
    def of(cls, context: StepContext) -> Rollout:
        """The rollout that a step's request describes."""
        config = context.config(RolloutConfig)
        return cls(
            model=context.request.model,
            config=config,
            parameters=RolloutParameters.model_validate(context.request.parameters),
            store=open_store(config.base_uri),
            target=Target.from_environment(),
            say=context.say,
        )

    @property
    def version(self) -> int:
        """The version to roll out."""
        return self.parameters.version

    def of_version(self, version: int, digest: str) -> Rollout:
        """This rollout, of another version."""
        given = {"version": version, "digest": digest}
        return replace(self, parameters=self.parameters.model_copy(update=given))

    @property
    def name(self) -> str:
        """Model and version, for messages."""
        return f"version {self.version} of {self.model}"

    @property
    def evidence(self) -> Evidence:
        """Where this rollout's evidence goes."""
        return Evidence(self.store, self.model, self.version, self.parameters.rollout_id)

    @cached_property
    def servers(self) -> Servers:
        """The servers, where the spec says that they are."""
        return servers_of(self)

    def channel(self, name: ChannelName) -> Channel | None:
        """Where a channel points now."""
        return read_channel(self.store, self.model, name)

    def point(self, name: ChannelName, current: Channel | None) -> None:
        """Point a channel to the version; raises as `move_channel`.

        Args:
            name: The channel.
            current: As it was read, which it must still be.
        """
        move_channel(
            self.store,
            self.model,
            name,
            version=self.version,
            digest=self.parameters.digest,
            expected_generation=current.generation if current else 0,
            moved_by=self.parameters.rollout_id,
        )

    def holds(self, channel: Channel | None) -> bool:
        """Whether a channel points to this very version and content."""
        return channel is not None and (channel.version, channel.digest) == (
            self.version,
            self.parameters.digest,
        )

    def label(self) -> Literal["canary", "stable"]:
        """The label under which the version answers now.

        Raises:
            TerminalError: Neither channel points to it.
        """
        if self.holds(self.channel("canary")):
            return "canary"
        if self.holds(self.channel("stable")):
            return "stable"
        raise self.superseded()

    def refuse_older_than(self, name: ChannelName, channel: Channel | None) -> None:
        """The fence: a channel that points to a newer version is not taken over.

        Raises:
            TerminalError: It does, and the rollout was not told that it may.
        """
        newer = channel is not None and (channel.version or 0) > self.version
        if channel is not None and newer and not self.parameters.allow_older:
            raise TerminalError(
                f"{self.name} is older than version {channel.version}, which is {name} since "
                f"{channel.moved_at:%Y-%m-%d %H:%M:%S %Z}",
                hint="nothing was changed; to go back on purpose, roll out with allow_older",
                subject=f"{self.model}/{self.version}",
                details={name: channel.version},
            )

    def refuse_unapproved(self) -> None:
        """What a person approved is what goes on.

        Raises:
            TerminalError: It was other content.
        """
        approved = self.parameters.approved
        if approved not in (None, self.parameters.digest):
            raise TerminalError(
                f"{self.name} has digest {self.parameters.digest[:12]}, but {str(approved)[:12]} "
                "was approved",
                hint="start a new rollout and approve what it shows",
                subject=f"{self.model}/{self.version}",
            )

    def superseded(self) -> TerminalError:
        """The error for a run whose version is no longer the canary."""
        labels = self.wanted().labels
        shown = " and ".join(f"{name} is {labels.get(name, 'unset')}" for name in CHANNELS)
        return TerminalError(
            f"{self.name} is not the canary any more: {shown}",
            hint="it was withdrawn, or another rollout took over; start a new rollout if needed",
            subject=f"{self.model}/{self.version}",
            details=dict(labels),
        )

    def wanted(self) -> Serving:
        """What the channels say is to be served."""
        labels: dict[str, int] = {}
        for name in CHANNELS:
            channel = self.channel(name)
            if channel is not None and channel.version is not None:
                labels[name] = channel.version
        return Serving(frozenset(labels.values()), labels)

    def converge(self, share: float | None = None) -> Serving:
        """Bring the servers to where the channels point; see `slipway.rollout.servers`."""
        return self.servers.converge(share)
