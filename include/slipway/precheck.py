"""What can be said of a spec and its definition without running anything of them."""

from __future__ import annotations

import ast
from difflib import get_close_matches
from typing import TYPE_CHECKING

from slipway.errors import TerminalError
from slipway.evaluation.metrics import BUILT_IN
from slipway.requests import definition_module, saved_model_folder
from slipway.spec.loader import sources
from slipway.spec.problems import Problem, locate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from slipway.spec.model import ModelSpec

REQUIRED = ("load_data",)


def static_problems(spec: ModelSpec, spec_file: Path) -> list[Problem]:
    """What the first steps of a build would stumble over, with the line of the field.

    Looks for the definition and what it defines, the metrics of the gates and the SavedModel that
    is brought in. Nothing is imported.
    """
    files = sources(spec_file)

    def problem(message: str, *path: str) -> Problem:
        file, line = locate(files, path)
        return Problem(file, line, ".".join(path), message)

    found = []
    if spec.saved_model is not None:
        try:
            saved_model_folder(spec, spec_file)
        except TerminalError as error:
            found.append(problem(error.message, "saved_model"))
    try:
        definition = definition_module(spec, spec_file)
        check_definition(definition)
    except TerminalError as error:
        return [*found, problem(error.message, "definition")]
    unknown = unknown_metrics(definition, spec.gates.metrics)
    return [
        *found,
        *(problem(message, "gates", "metrics", name) for name, message in unknown.items()),
    ]


def check_definition(file: Path, metrics: Sequence[str] = ()) -> None:
    """Parse a definition, which takes no TensorFlow, and look for what every one needs.

    Args:
        file: The definition's module.
        metrics: Names that the spec's gates use; each must be built in or stand in METRICS.

    Raises:
        TerminalError: There is no such file, Python cannot parse it, or a function or a metric is
            missing.
    """
    names = _top_level_names(_parsed(file))
    missing = [name for name in REQUIRED if name not in names and "*" not in names]
    if missing:
        raise TerminalError(
            f"{file.name} defines no function {missing[0]}",
            hint=f"add {missing[0]} to {file}; docs/model-definitions.md shows how",
            subject=str(file),
        )
    for message in unknown_metrics(file, metrics).values():
        raise TerminalError(
            f"gates.metrics: {message}",
            hint=f"correct the spec, or add it to METRICS in {file}",
            subject="gates.metrics",
        )


def unknown_metrics(file: Path, metrics: Iterable[str]) -> dict[str, str]:
    """Those metrics that are neither built in nor the definition's, and what there is instead.

    None is unknown where METRICS cannot be read without running the module.
    """
    own = _own_metrics(_parsed(file))
    if own is None:
        return {}
    known = sorted({*own, *BUILT_IN})
    return {name: _unknown(name, known) for name in metrics if name not in known}


def _unknown(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    nearest = f"; did you mean {close[0]!r}?" if close else ""
    return f"there is no metric {name!r}{nearest}; there are {', '.join(known)}"


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text("utf-8"), filename=str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise TerminalError(
            f"the model definition {file} cannot be read: {error}",
            hint="put the module there, or correct `definition` in the spec",
            subject=str(file),
        ) from None
    except SyntaxError as error:
        raise TerminalError(
            f"{file.name}:{error.lineno} is no Python: {error.msg}",
            hint=f"correct {file}",
            subject=str(file),
        ) from None


def _own_metrics(tree: ast.Module) -> list[str] | None:
    """Names in METRICS; None if they cannot be read without running the module."""
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "METRICS":
            value = getattr(node, "value", None)
            keys = value.keys if isinstance(value, ast.Dict) else [None]
            names = [key.value for key in keys if isinstance(key, ast.Constant)]
            return [str(name) for name in names] if len(names) == len(keys) else None
    names_above = _top_level_names(tree)
    return None if {"METRICS", "*"} & names_above else []


def _top_level_names(tree: ast.Module) -> set[str]:
    """What a module defines, assigns or imports at its top level; "*" for a star import."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return names
