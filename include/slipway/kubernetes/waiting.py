"""Waiting for a version's pods somewhere else than in the step that needs them.

A step that is given `patience_seconds` waits so long for pods itself. Then it ends, and its error
says under `AWAITED` whose pods it waits for; whoever started it waits until `has_moved_on`, and
starts it again. A step finds what it made, so nothing but the waiting is left to do.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from slipway.contracts import Contract
from slipway.errors import TransientError
from slipway.kubernetes import names
from slipway.kubernetes.objects import is_settled
from slipway.kubernetes.trouble import version_trouble

if TYPE_CHECKING:
    from slipway.kubernetes.client import Cluster

AWAITED = "awaited"


class Awaited(Contract):
    """Whose pods are waited for.

    Attributes:
        namespace: Where.
        model: The model.
        version: Its version.
        until: When waiting ends, Unix time in seconds.
    """

    namespace: str
    model: str
    version: int
    until: float

    def error(self) -> TransientError:
        """What the step ends with."""
        return TransientError(
            f"the pods of version {self.version} of {self.model} are not ready yet",
            hint=f"start the step again once they are, until {time.ctime(self.until)}",
            subject=f"{self.model}/{self.version}",
            details={AWAITED: self.model_dump(mode="json")},
        )


def has_moved_on(cluster: Cluster, awaited: Awaited) -> bool:
    """Whether the step has something to do: the pods are ready, or never will be, or are gone.

    Raises:
        SlipwayError: As the API answers.
    """
    namespace, name = awaited.namespace, names.version_service(awaited.model, awaited.version)
    deployment = cluster.get("Deployment", namespace, name)
    if deployment is None or is_settled(deployment):
        return True
    labels = {names.MODEL_LABEL: awaited.model, names.VERSION_LABEL: str(awaited.version)}
    trouble = version_trouble(
        cluster,
        namespace,
        awaited.model,
        awaited.version,
        deployment=deployment,
        pods=cluster.list("Pod", namespace, labels=labels),
    )
    return trouble is not None and trouble.hopeless
