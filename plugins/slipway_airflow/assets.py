"""The asset that joins a model's two DAGs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

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
    older version among them must not be rolled out over a newer one.
    """
    named = [event for event in events if "version" in event]
    if not named:
        return {}
    newest = max(named, key=lambda event: int(event["version"]))
    return {"version": int(newest["version"]), "digest": newest.get("digest")}
