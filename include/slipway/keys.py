"""The key of a step: a digest over everything that its result depends on."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.definition import data_version
from slipway.errors import TerminalError
from slipway.modelling.gpu import hardware_facts
from slipway.registry import STEPS

if TYPE_CHECKING:
    from slipway.contracts import StepRequest


def step_key(request: StepRequest) -> str:
    """sha256 over all of a request that can change the result, code and packages included.

    That is step, model, variant, code, options, definition and the version of its data, input
    digests, seed and package versions; GPU, driver and TensorRT where an engine is built.

    The same key promises the same artifact. What belongs to one run alone (its id, paths, the
    force flag) is left out.

    Raises:
        TerminalError: if a package that the step needs is not installed, or the definition's
            module is missing, or its `data_version` fails.
    """
    entry = STEPS[request.step]
    parts = {
        "step": request.step,
        "model": request.model,
        "variant": request.variant,
        "code": _code_digest(entry.module, entry.shared),
        "config": request.config,
        "definition": definition_digest(Path(request.definition)) if request.definition else None,
        "data_version": data_version(Path(request.definition)) if request.definition else None,
        "inputs": {role: ref.digest for role, ref in request.inputs.items()},
        "seed": request.seed,
        "packages": {name: _version(name, request.step) for name in entry.packages},
    }
    if entry.hardware:
        parts["hardware"] = hardware_facts()
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def definition_digest(module: Path) -> str:
    """sha256 over a definition's module and the files named in its folder `<definition>/`.

    A definition that needs more than one file keeps the others in a folder of its own name
    beside it; what it reads elsewhere is not part of any key.
    """
    digest = hashlib.sha256()
    try:
        digest.update(module.read_bytes())
    except OSError as error:
        raise TerminalError(
            f"the model definition {module} cannot be read: {error.strerror}",
            hint="put the module there, or correct `definition` in the spec",
            subject=str(module),
        ) from None
    companions = module.with_suffix("")
    if companions.is_dir():
        for file in sorted(companions.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(file.relative_to(companions).as_posix().encode() + b"\0")
                digest.update(file.read_bytes())
    return f"sha256:{digest.hexdigest()}"


@lru_cache
def _code_digest(module: str, shared: tuple[str, ...]) -> str:
    """sha256 over the step's file and the packages of shared code that it is built from."""
    package = Path(__file__).parent
    found = find_spec(module)
    files = [Path(found.origin)] if found and found.origin else []
    for name in shared:
        files += sorted(path for path in (package / name).iterdir() if path.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _version(package: str, step: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise TerminalError(
            f"the step {step} needs the package {package}, which is not installed",
            hint=f"install {package} where the step runs, as requirements.txt pins it",
            subject=package,
        ) from None
