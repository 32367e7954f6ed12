"""From a planned step to the request that its process gets: the same for Airflow and the CLI."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.content import tree_digest
from slipway.contracts import StepFailure, StepOutcome, StepRequest
from slipway.errors import TerminalError
from slipway.incoming import INCOMING, incoming_of
from slipway.spec.incoming import IncomingModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.contracts import ArtifactRef
    from slipway.spec.model import ModelSpec
    from slipway.spec.plan import PlannedStep

DEFINITIONS_VARIABLE = "SLIPWAY_DEFINITIONS"

# These steps work on what others made, or on what is published; a definition would only be one
# more thing that could be missing.
_WITHOUT_DEFINITION = frozenset(
    {
        "select",
        "publish",
        "preflight",
        "deploy",
        "probe",
        "shift",
        "promote",
        "rollback",
        "gc",
        "adopt",
    }
)


def build_request(
    spec: ModelSpec,
    spec_file: Path,
    planned: PlannedStep,
    outcomes: Mapping[str, StepOutcome],
    *,
    workspace: Path,
    parameters: Mapping[str, Any] | None = None,
    force: bool = False,
) -> StepRequest:
    """The request for a step, from what the steps before it left.

    A tolerant step gets the artifacts that there are, and for every step that it reads and that
    left nothing a failure that says so.

    Args:
        spec: The model's spec.
        spec_file: Where it stands; definition and SavedModel are looked for from there.
        planned: The step.
        outcomes: How earlier steps of the same run ended, by task id.
        workspace: Root of the workspace.
        parameters: What belongs to this run alone, as the dropped model that it is for
            (`incoming`: uri and digest); `spec_digest` is added, and for an import `spec_folder`.
        force: Run the step even if its result is known.

    Raises:
        SlipwayError: the failure of a step whose artifact or report this step cannot do without.
        TerminalError: if such a step did not run, if a tolerant step is left with no artifact at
            all, if the definition or the SavedModel is not there, or if the dropped model is
            refused.
    """
    config = dict(planned.config)
    values = {**(parameters or {}), "spec_digest": spec_digest(spec)}
    if planned.step == "check":
        # Whom to alert, and how, is nobody's business but Airflow's.
        values["spec"] = spec.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude={"alerts"}
        )
        if spec.imported:
            _dropped_or_own(spec, spec_file, values.get(INCOMING))
    if spec.imported and planned.step == "import":
        place = _dropped_or_own(spec, spec_file, values.get(INCOMING))
        # The key is to follow the content, not the place, so the place is no option.
        if isinstance(place, IncomingModel):
            config |= {"saved_model": None, "saved_model_digest": place.digest}
        else:
            config["saved_model_digest"] = tree_digest(place)
        values["spec_folder"] = str(spec_file.resolve().parent)
    definition = None
    if planned.step not in _WITHOUT_DEFINITION:
        definition = str(definition_module(spec, spec_file))
    return StepRequest(
        step=planned.step,
        model=spec.model,
        variant=planned.variant,
        config=config,
        definition=definition,
        inputs=_inputs(spec, planned, outcomes),
        results=_results(spec, planned, outcomes),
        parameters=values,
        seed=spec.seed,
        workspace=str(workspace.resolve()),
        force=force,
    )


def definition_module(spec: ModelSpec, spec_file: Path) -> Path:
    """The model definition's module.

    Looked for in $SLIPWAY_DEFINITIONS if that is set, otherwise in `include/models/` of the
    nearest folder above the spec that has it.

    Raises:
        TerminalError: if it is in none of them.
    """
    name = f"{spec.definition}.py"
    own = os.environ.get(DEFINITIONS_VARIABLE)
    if own:
        folders = [Path(own).resolve()]
    else:
        folders = [parent / "include" / "models" for parent in spec_file.resolve().parents]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    searched = str(folders[0]) if own else f"include/models/ of any folder above {spec_file}"
    raise TerminalError(
        f"{spec.model}: there is no model definition {name} in {searched}",
        hint=f"put it there, or name the folder in ${DEFINITIONS_VARIABLE}",
        subject="definition",
    )


def saved_model_folder(spec: ModelSpec, spec_file: Path) -> Path:
    """The folder of the SavedModel that a spec brings in, relative to the spec's own folder.

    Raises:
        TerminalError: if the spec names none, or there is no such folder.
    """
    folder = (spec_file.resolve().parent / (spec.saved_model or "")).resolve()
    if spec.saved_model is None or not folder.is_dir():
        raise TerminalError(
            f"{spec.model}: there is no SavedModel folder {folder}",
            hint=f"correct saved_model in {spec_file.name}; it is relative to that file",
            subject="saved_model",
        )
    return folder


def _dropped_or_own(spec: ModelSpec, spec_file: Path, given: Any) -> IncomingModel | Path:
    """What a run brings in: the dropped model that it is for, or the spec's own SavedModel."""
    return incoming_of(spec, given) or saved_model_folder(spec, spec_file)


def spec_digest(spec: ModelSpec) -> str:
    """sha256 over the spec with every default filled in."""
    text = json.dumps(spec.rendered(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _inputs(
    spec: ModelSpec, planned: PlannedStep, outcomes: Mapping[str, StepOutcome]
) -> dict[str, ArtifactRef]:
    found: dict[str, ArtifactRef] = {}
    for role, task_id in planned.inputs.items():
        outcome = outcomes.get(task_id)
        if planned.tolerant and (outcome is None or outcome.result is None):
            continue
        artifact = _of(spec, planned, task_id, outcome).unwrap().artifact
        if artifact is None:
            raise TerminalError(
                f"{spec.model}: {planned.task_id} needs the artifact of {task_id}, which made none",
                hint=f"clear {task_id} and run it again",
                subject=role,
            )
        found[role] = artifact
    if planned.inputs and not found:
        raise TerminalError(
            f"{spec.model}: {planned.task_id} has nothing to work on, since no variant was made",
            hint="correct what made the steps before it fail; their logs say it",
            subject=planned.task_id,
        )
    return found


def _results(
    spec: ModelSpec, planned: PlannedStep, outcomes: Mapping[str, StepOutcome]
) -> dict[str, StepOutcome]:
    results: dict[str, StepOutcome] = {}
    for task_id in planned.reports:
        outcome = outcomes.get(task_id)
        if planned.tolerant:
            results[task_id] = outcome or _did_not_run(task_id)
            continue
        results[task_id] = _of(spec, planned, task_id, outcome)
        results[task_id].unwrap()
    return results


def _of(
    spec: ModelSpec, planned: PlannedStep, task_id: str, outcome: StepOutcome | None
) -> StepOutcome:
    if outcome is not None:
        return outcome
    raise TerminalError(
        f"{spec.model}: {planned.task_id} needs the result of {task_id}, which did not run",
        hint=f"run {task_id} first",
        subject=task_id,
    )


def _did_not_run(task_id: str) -> StepOutcome:
    return StepOutcome(
        failure=StepFailure(
            kind="terminal",
            message=f"{task_id} did not run",
            hint="a step that it needs failed, or it was skipped; see that one",
            subject=task_id,
        )
    )
