"""What a Job is asked, as it travels by the bucket: the request and the files it stands on.

The model definition travels by content too: its module, the folder of its name, and the modules
and packages beside it that these import.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.contracts import Contract, StepOutcome, StepRequest
from slipway.errors import TerminalError
from slipway.workspace_bucket import SharedWorkspace, relocated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slipway.spec.execution import JobSpec
    from slipway.workspace_bucket import WorkspaceBucket

_SPEC_FOLDER = "spec_folder"


class JobRequest(Contract):
    """A step's request, and what the bucket holds for it.

    Attributes:
        request: As the worker made it; its paths are the worker's.
        definition: Digest of the folder with the model definition; "" if the step needs none.
        saved_model: Digest of the SavedModel that is brought in; "" if there is none, or if it was
            dropped in a bucket, from which the Job fetches it.
        timeout_seconds: Time limit of the step.
    """

    request: StepRequest
    definition: str = ""
    saved_model: str = ""
    timeout_seconds: int

    def key(self, spec: JobSpec) -> str:
        """sha256 over all of it and where it runs: what gives a Job its name.

        Paths are left out: another worker that goes on with the work may have other ones.
        """
        request = relocated(self.request, Path("/")).model_dump(mode="json")
        parameters = {k: v for k, v in request["parameters"].items() if k != _SPEC_FOLDER}
        own = {**request, "workspace": "", "definition": "", "parameters": parameters}
        parts = {**self.model_dump(mode="json"), "request": own, "spec": spec.model_dump()}
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def send(request: StepRequest, workspace: SharedWorkspace, *, timeout_seconds: int) -> JobRequest:
    """Bring all that a request names into the bucket, as far as it is missing there.

    Raises:
        SlipwayError: something is not there, or the bucket cannot be written.
    """
    workspace.share(request)
    definition = saved_model = ""
    if request.definition is not None:
        definition = _send_definition(Path(request.definition), workspace.bucket)
    if request.step == "import" and request.config["saved_model"] is not None:
        saved_model = workspace.bucket.push(_saved_model_folder(request))
    return JobRequest(
        request=request,
        definition=definition,
        saved_model=saved_model,
        timeout_seconds=timeout_seconds,
    )


def receive(job: JobRequest, workspace: SharedWorkspace, folder: Path) -> StepRequest:
    """The request as it reads in the pod, with all that it names on the disk.

    Args:
        job: What was sent.
        workspace: The pod's own.
        folder: An empty folder for the definition and a SavedModel.

    Raises:
        SlipwayError: as `WorkspaceBucket.pull`.
    """
    request = workspace.bring(job.request)
    values: dict[str, Any] = {"workspace": str(workspace.root)}
    if job.definition and request.definition is not None:
        place = folder / "definition"
        place.mkdir()
        workspace.bucket.pull(job.definition, place)
        values["definition"] = str(place / Path(request.definition).name)
    if job.saved_model:
        values["parameters"] = request.parameters | {
            _SPEC_FOLDER: str(_place_saved_model(job, workspace.bucket, folder))
        }
    return request.model_copy(update=values)


def local_sources(module: Path) -> list[Path]:
    """A definition's module, what lies in its folder, and what these import from beside it.

    Sorted. What is imported by a computed name is not seen.
    """
    companions = list(_all_in(module.with_suffix("")))
    found = {module, *companions}
    waiting = [file for file in found if file.suffix == ".py"]
    while waiting:
        for name in _imported(waiting.pop()):
            new = set(_beside(module.parent, name)) - found
            found |= new
            waiting += [file for file in new if file.suffix == ".py"]
    return sorted(found)


def _send_definition(module: Path, bucket: WorkspaceBucket) -> str:
    with tempfile.TemporaryDirectory(prefix="slipway-") as name:
        folder = Path(name)
        for file in local_sources(module):
            target = folder / file.relative_to(module.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(file, target)
            except OSError as error:
                raise TerminalError(
                    f"{file} cannot be read: {error.strerror}",
                    hint="the model definition and all that it imports must be readable",
                    subject=str(file),
                ) from None
        return bucket.push(folder)


def _saved_model_folder(request: StepRequest) -> Path:
    base = str(request.parameters.get(_SPEC_FOLDER, "."))
    return Path(os.path.normpath(Path(base, request.config["saved_model"])))


def _place_saved_model(job: JobRequest, bucket: WorkspaceBucket, folder: Path) -> Path:
    """Where the spec's folder is in the pod, so that the spec's own path leads to the SavedModel.

    That path is an option of the step and so part of its key: it must not change.
    """
    wanted = Path(os.path.normpath(job.request.config["saved_model"]))
    if wanted.is_absolute():
        raise TerminalError(
            f"saved_model: {wanted} is an absolute path, which a Job does not have",
            hint="give it relative to the spec, or let the step `import` run as a subprocess",
            subject="saved_model",
        )
    deep = folder.joinpath("spec", *(["up"] * wanted.parts.count("..")))
    target = Path(os.path.normpath(deep / wanted))
    deep.mkdir(parents=True, exist_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    bucket.pull(job.saved_model, target)
    return deep


def _imported(file: Path) -> Iterator[str]:
    """Top-level names of what a module imports."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # the step that imports it says what is wrong
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _all_in(folder: Path) -> Iterable[Path]:
    return [
        file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    ]


def _beside(folder: Path, name: str) -> Iterable[Path]:
    """The files of a module or package in a folder; none if it is not there."""
    module, package = folder / f"{name}.py", folder / name
    if module.is_file():
        return [module]
    return _all_in(package) if (package / "__init__.py").is_file() else []


def request_path(name: str) -> str:
    """Where a Job's request lies in the bucket."""
    return f"jobs/{name}/request.json"


def outcome_path(name: str, uid: str) -> str:
    """Where a Job leaves its StepOutcome; two Jobs of the same name never share it."""
    return f"jobs/{name}/{uid}.json"


def read_outcome(bucket: WorkspaceBucket, name: str, uid: str) -> StepOutcome | None:
    """How a Job ended, if it could say so."""
    found = bucket.store.get(outcome_path(name, uid))
    return StepOutcome.model_validate_json(found.data) if found else None
