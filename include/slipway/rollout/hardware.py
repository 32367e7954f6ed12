"""Whether the servers can run the engines of a version, and what is rolled out if they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.errors import TerminalError
from slipway.serving.layout import Layout, resolve

if TYPE_CHECKING:
    from slipway.serving.layout import Manifest
    from slipway.spec.rollout import ServeSpec
    from slipway.storage import Store


def fitting(store: Store, manifest: Manifest, serve: ServeSpec) -> tuple[Manifest, str]:
    """The version to roll out: the one asked for, or its fallback; and why it is the fallback.

    Raises:
        TerminalError: The engines do not fit the servers' GPUs or TensorRT, or nobody says which
            those are, and the spec names no fallback, or none was published with the version.
    """
    engine = manifest.engine
    if engine is None:
        return manifest, ""
    wanted = serve.compute_capability
    if wanted is None:
        why = "nothing says which GPUs the servers have, and its engines fit one kind only"
    else:
        why = engine.why_not_on(wanted, serve.tensorrt) or ""
    if not why:
        return manifest, ""
    name = f"version {manifest.version} of {manifest.model}"
    servers = f"{wanted or '?'}, TensorRT {serve.tensorrt or '?'}"
    refused = f"{name} cannot run on the servers (compute capability {servers}): {why}"
    if serve.fallback is None or engine.fallback is None:
        missing = (
            "the spec names no serve.fallback"
            if serve.fallback is None
            else "it was published without one"
        )
        raise TerminalError(
            f"{refused}; there is no fallback: {missing}",
            hint="nothing was changed; build for this hardware, set serve.compute_capability to "
            "what the servers have, or name a variant in serve.fallback and publish again",
            subject=Layout(manifest.model).manifest(manifest.version),
            details={"engine": engine.model_dump(mode="json")},
        )
    taken = resolve(store, manifest.model, engine.fallback.version)
    if taken.digest != engine.fallback.digest:
        raise TerminalError(
            f"{refused}; its fallback, version {taken.version}, has digest {taken.digest[:12]} "
            f"instead of {engine.fallback.digest[:12]}",
            hint="somebody changed the bucket: publish the model again",
            subject=Layout(manifest.model).manifest(taken.version),
        )
    return taken, refused
