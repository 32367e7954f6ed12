"""Adoption: a folder that was copied into the bucket by hand becomes a version."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from slipway.errors import TerminalError
from slipway.modelling.untrusted import require_safe_copy
from slipway.serving.layout import Layout
from slipway.serving.upkeep.adopt import adopt
from slipway.spec.rollout import PublishSpec
from slipway.steps.base import StepOutput
from slipway.storage import open_store

if TYPE_CHECKING:
    from slipway.steps.base import StepContext


def run(context: StepContext) -> StepOutput:
    """Adopt the folder that the parameter `version` names.

    Details: version, digest, uri, variant and already_adopted.

    Raises:
        TerminalError: No version is named, its graph holds what the spec does not allow, or as
            `slipway.serving.upkeep.adopt.adopt`.
        TransientError: The bucket does not answer.
    """
    config = dict(context.request.config)
    allow = config.pop("allow_operations", ())
    spec = PublishSpec.model_validate(config)
    model, parameters = context.request.model, context.request.parameters
    version = parameters.get("version")
    if not isinstance(version, int) or version < 1:
        raise TerminalError(
            f"{model}: it is not said which folder to adopt",
            hint="give the parameter version: the folder's number",
            subject="version",
        )
    store = open_store(spec.base_uri)
    by = str(parameters.get("run_id", ""))
    prove = partial(require_safe_copy, allow=allow)
    done = adopt(store, model, version, by=by, prove=prove)
    manifest = done.manifest
    context.say(f"version {version}: {len(manifest.files)} files, digest {manifest.digest[:12]}")
    details = {
        "version": version,
        "digest": manifest.digest,
        "uri": f"{store.uri}/{Layout(model).version_prefix(version)}",
        "variant": manifest.variant,
        "already_adopted": done.already_adopted,
    }
    return StepOutput(metrics={"size_bytes": float(manifest.size_bytes)}, details=details)
