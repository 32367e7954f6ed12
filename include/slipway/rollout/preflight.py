"""Preflight: what can be known to be wrong before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from slipway.content import bytes_digest
from slipway.errors import TerminalError
from slipway.evaluation.golden import Golden
from slipway.rollout.hardware import fitting
from slipway.rollout.kserve import interface_of
from slipway.serving.layout import Layout, resolve
from slipway.spec.rollout import SERVED_FILES

if TYPE_CHECKING:
    from slipway.rollout.session import Rollout
    from slipway.serving.layout import Manifest


def preflight(rollout: Rollout) -> dict[str, Any]:
    """Check that the version exists, is what was meant, can be served and is no older than stable.

    Where its TensorRT engines do not fit the servers, its fallback is what is rolled out.

    Returns:
        Details: version and digest of what is rolled out, instead_of (the version that was asked
        for; None if it is the same), variant, size_bytes, stable_version and already_stable.

    Raises:
        TerminalError: It does not exist, has another digest, has damaged golden requests, is
            older than stable or for another model server, or its engines fit the servers as
            little as any fallback; or the environment does not say where the servers are.
    """
    manifest = resolve(rollout.store, rollout.model, rollout.version)
    if manifest.digest != rollout.parameters.digest:
        raise TerminalError(
            f"{rollout.name} has digest {manifest.digest[:12]}, but "
            f"{rollout.parameters.digest[:12]} was asked for",
            hint="take version and digest from the same publishing",
            subject=Layout(rollout.model).manifest(rollout.version),
            details={"expected": rollout.parameters.digest, "found": manifest.digest},
        )
    taken, why = fitting(rollout.store, manifest, rollout.config.serve)
    if why:
        rollout.say(f"version {taken.version} ({taken.variant}) is rolled out instead: {why}")
        rollout = rollout.of_version(taken.version, taken.digest)
    _refuse_other_server(rollout, taken)
    asked, manifest = manifest.version, taken
    stable = rollout.channel("stable")
    rollout.refuse_older_than("stable", stable)
    golden = read_golden(rollout, manifest)
    details = {
        "version": manifest.version,
        "digest": manifest.digest,
        "instead_of": asked if why else None,
        "variant": manifest.variant,
        "size_bytes": manifest.size_bytes,
        "golden_requests": len(golden.requests) if golden else 0,
        **rollout.servers.check(),
        "stable_version": stable.version if stable else None,
        "already_stable": rollout.holds(stable),
        "evidence": rollout.evidence.uri,
    }
    rollout.evidence.add("preflight", **details)
    return details


def _refuse_other_server(rollout: Rollout, manifest: Manifest) -> None:
    serve = rollout.config.serve
    if serve.server == "triton" and serve.kubernetes is None:
        raise TerminalError(
            f"{rollout.name} is for Triton, which rollouts drive on Kubernetes only: one server "
            "for stable and canary needs version labels, and Triton has none",
            hint="nothing was changed; set serve.kubernetes and rollout.strategy canary or "
            "blue_green, or roll out by hand: `slipway serve-config --server triton` writes the "
            "request with which Triton loads what the channels point to",
            subject="serve.server",
        )
    names = {entry.path for entry in manifest.files}
    if names.isdisjoint(SERVED_FILES[serve.server]):
        raise TerminalError(
            f"{rollout.name} ({manifest.variant}) holds nothing that {serve.server} serves, which "
            f"is {' or '.join(sorted(SERVED_FILES[serve.server]))}",
            hint="nothing was changed; set serve.server to the server that the version was "
            "published for, or publish again",
            subject="serve.server",
        )
    interface_of(rollout)


def read_golden(rollout: Rollout, manifest: Manifest) -> Golden | None:
    """The golden requests of a version; None if it was published without.

    Raises:
        TerminalError: They are missing, not those of the manifest or not readable.
    """
    if manifest.golden_digest is None:
        return None
    path = Layout(rollout.model).golden(rollout.version)
    found = rollout.store.get(path)
    if found is None or bytes_digest(found.data) != manifest.golden_digest:
        raise TerminalError(
            f"the golden requests {rollout.store.uri}/{path} are "
            f"{'missing' if found is None else 'not those of the manifest'}",
            hint="somebody changed the bucket: publish the model again",
            subject=path,
        )
    try:
        return Golden.model_validate_json(found.data)
    except ValidationError as error:
        raise TerminalError(
            f"the golden requests {rollout.store.uri}/{path} cannot be read: "
            f"{error.error_count()} problems",
            hint="publish the model again with the Slipway that rolls it out",
            subject=path,
        ) from None
