"""What a person may ask of a run: forms that Airflow draws and whose values it validates.

Params are set when the DAG's tasks are made: set before, Airflow would copy them once for each
task, which doubles the time that this takes.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from airflow.sdk import Param

from slipway.errors import TerminalError
from slipway.incoming import INCOMING
from slipway.spec.incoming import IncomingModel
from slipway.spec.variants import ORIGINAL

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from airflow.sdk import DAG, Context

    from slipway.spec.model import ModelSpec

FORCE, VARIANTS, SKIP_ROLLOUT = "force", "variants", "skip_rollout"


def add_build_form(spec: ModelSpec, dag: DAG) -> None:
    """Variants, whether everything is computed anew, whether the rollout is left out.

    And, where models are dropped, which of them is to be built.
    """
    dag.params[FORCE] = Param(False, type="boolean", title="Compute everything anew")
    if spec.variants:
        names = list(spec.variants)
        dag.params[VARIANTS] = Param(
            None,
            type=["array", "null"],
            items={"type": "string", "enum": names},
            uniqueItems=True,
            examples=names,
            title="Variants",
            description="Only these, those that they are made from, and the required ones; "
            "empty: all.",
        )
    dag.params[SKIP_ROLLOUT] = Param(
        False,
        type="boolean",
        title="Publish only",
        description="Nothing is rolled out; the version can be rolled out by hand later.",
    )
    if spec.incoming is not None and spec.incoming.uri is not None:
        dag.params[INCOMING] = _incoming_param(spec.incoming.uri)


def add_rollout_form(dag: DAG) -> None:
    """Version, digest and whether an older version may take over."""
    dag.params["version"] = Param(
        None,
        type=["integer", "null"],
        minimum=1,
        title="Version",
        description="The version to roll out; empty: the newest that is published.",
    )
    dag.params["digest"] = Param(
        None,
        type=["string", "null"],
        pattern="^[0-9a-f]{64}$",
        title="Digest",
        description="What the version must hold; empty: what its manifest says.",
    )
    dag.params["allow_older"] = Param(
        False, type="boolean", title="Allow an older version to take over from a newer one"
    )


def add_rollback_form(dag: DAG) -> None:
    """The version to go back to, which nobody but the operator can name."""
    dag.params["version"] = Param(
        type="integer",
        minimum=1,
        title="Version",
        description="The kept version that becomes stable again; `slipway versions` lists them.",
    )


def refuse_unknown(context: Context, dag: DAG) -> None:
    """Refuse a run with a parameter that its form does not have.

    Airflow validates the values of those that the form has, and hands on any other: misspelt, a
    wish would be left out without a word.

    Args:
        context: What the run's first task knows; `conf` of its run is what was sent.
        dag: Whose form it is.

    Raises:
        TerminalError: there is such a parameter; it names the nearest known one.
    """
    run: Any = context.get("dag_run")
    sent: Mapping[str, Any] = getattr(run, "conf", None) or {}
    known = sorted(dag.params)
    for name in sent:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise TerminalError(
                f"conf: {dag.dag_id} has no parameter {name!r}; the nearest is {nearest[0]!r}"
                if nearest
                else f"conf: {dag.dag_id} has no parameter {name!r}",
                hint=f"nothing was done; start a new run with any of: {', '.join(known)}",
                subject=f"conf.{name}",
            )


def is_wanted(spec: ModelSpec, variant: str | None, params: Mapping[str, Any]) -> bool:
    """Whether a run works on a variant: it was chosen, is needed for one that was, or is required.

    Args:
        spec: The model's spec.
        variant: The variant; None: a step of the whole run.
        params: What was asked of the run.
    """
    chosen: Collection[str] | None = params.get(VARIANTS)
    if not chosen or variant in {None, ORIGINAL}:
        return True
    required = {name for name, each in spec.variants.items() if each.required}
    wanted: set[str] = set()
    for name in required | set(chosen):
        while name in spec.variants and name not in wanted:
            wanted.add(name)
            name = spec.variants[name].source  # noqa: PLW2901 - up its chain
    return variant in wanted


def _incoming_param(place: str) -> Param:
    schema = IncomingModel.model_json_schema()
    # As the intake finds them: a folder of its own, directly below that place.
    schema["properties"]["uri"]["pattern"] = f"^{re.escape(place.rstrip('/'))}/[^/]+/?$"
    return Param(
        None,
        type=["object", "null"],
        title="Dropped model",
        description=f"Uri of a folder directly below {place}, and the digest of its content.",
        **{key: schema[key] for key in ("properties", "required", "additionalProperties")},
    )
