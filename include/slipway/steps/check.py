"""Check: tries the bucket and reads the model definition, before any work."""

from __future__ import annotations

import ast
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import TerminalError
from slipway.evaluation.metrics import BUILT_IN
from slipway.spec.rollout import PublishSpec
from slipway.steps.base import StepOutput
from slipway.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.steps.base import StepContext

REQUIRED = ("load_data",)


def run(context: StepContext) -> StepOutput:
    """Prove in seconds that the build can publish in the end and that its definition is one.

    Raises:
        TerminalError: Wrong credentials, no right or no bucket, or a definition that Python cannot
            parse or that lacks a function.
        TransientError: The bucket's endpoint does not answer.
    """
    config = dict(context.request.config)
    metrics = config.pop("metrics", [])
    spec = PublishSpec.model_validate(config)
    if context.request.definition is not None:
        check_definition(Path(context.request.definition), metrics)
    context.say(f"lists, writes, reads and deletes in {spec.base_uri}")
    check_bucket(spec.base_uri)
    return StepOutput(details={"base_uri": spec.base_uri})


def check_bucket(base_uri: str) -> None:
    """List, write, read and delete in a bucket.

    Raises:
        TerminalError: Wrong credentials, no right or no bucket.
        TransientError: The endpoint does not answer.
    """
    open_store(base_uri).check_access()


def check_definition(file: Path, metrics: Sequence[str] = ()) -> None:
    """Parse a definition, which takes no TensorFlow, and look for what every one needs.

    Args:
        file: The definition's module.
        metrics: Names that the spec's gates use; each must be built in or stand in METRICS.

    Raises:
        TerminalError: There is no such file, Python cannot parse it, or a function or a metric is
            missing.
    """
    try:
        tree = ast.parse(file.read_text("utf-8"), filename=str(file))
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
    names = _top_level_names(tree)
    missing = [name for name in REQUIRED if name not in names and "*" not in names]
    if missing:
        raise TerminalError(
            f"{file.name} defines no function {missing[0]}",
            hint=f"add {missing[0]} to {file}; docs/model-definitions.md shows how",
            subject=str(file),
        )
    _check_metrics(file, tree, metrics)


def _check_metrics(file: Path, tree: ast.Module, metrics: Sequence[str]) -> None:
    own = _own_metrics(tree)
    if own is None:
        return
    known = sorted({*own, *BUILT_IN})
    for name in metrics:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            nearest = f"; did you mean {close[0]!r}?" if close else ""
            raise TerminalError(
                f"gates.metrics: there is no metric {name!r}{nearest}; there are "
                f"{', '.join(known)}",
                hint=f"correct the spec, or add it to METRICS in {file}",
                subject="gates.metrics",
            )


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
