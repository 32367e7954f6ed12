"""The asset that joins a model's two DAGs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slipway.contracts import StepResult

GROUP = "slipway"
ROLLOUT = "rollout"

_TOLD = ("uri", "variant", "already_published")


def model_asset(model: str) -> Asset:
    """The asset of a model; its events say which version is published.

    Schemes that begin with `x-` are the user's own: Airflow asks no provider about them.
    """
    return Asset(name=model, uri=f"x-slipway://{model}", group=GROUP)


def event_of(model: str, result: StepResult, *, rollout: bool = True) -> dict[str, Any]:
    """What the asset's event says of a published version: {model, version, digest, ...}.

    Beside these three: uri and variant, whether it was published before, and how its transfer went;
    `rollout` is false where whoever started the run wanted it published only.
    """
    more = {name: result.details[name] for name in _TOLD if name in result.details}
    return {
        "model": model,
        "version": int(result.details["version"]),
        "digest": str(result.details["digest"]),
        **more,
        **({} if rollout else {ROLLOUT: False}),
        **({"transfer": dict(result.metrics)} if result.metrics else {}),
    }


def newest_version(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Version and digest of the highest version that the events name; empty if they name none.

    One run may answer several events: those that came while the run before it was at work. An
    older version among them must not be rolled out over a newer one, and one that anybody sent
    through Airflow's API and that makes no sense must not stop the others.

    Raises:
        TerminalError: What they name are no versions.
    """
    named, problems = list[_Named](), list[str]()
    for event in events:
        if "version" in event:
            try:
                named.append(_Named.model_validate(event))
            except ValidationError as error:
                problem = error.errors(include_url=False)[0]
                field = ".".join(str(part) for part in problem["loc"])
                problems.append(f"{field} {problem['input']!r:.100}: {problem['msg']}")
    if problems and not named:
        raise TerminalError(
            f"the asset's event names no version: {problems[0]}",
            hint="send {version: <a number>, digest: <its digest, or leave it out>}",
            subject="version",
        )
    return max(named, key=lambda one: one.version).model_dump() if named else {}


class _Named(BaseModel):
    """What an event says of a version; it may say more."""

    model_config = ConfigDict(strict=True)

    version: PositiveInt
    digest: str | None = None
