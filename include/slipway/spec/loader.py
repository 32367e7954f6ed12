"""Read specs from YAML: strict, with inherited defaults, and with errors that name the line."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from slipway.errors import TerminalError
from slipway.spec.model import ModelSpec
from slipway.spec.problems import Problem, describe, locate
from slipway.spec.promise import IMPLIED

if TYPE_CHECKING:
    from pathlib import Path

DEFAULTS = "_defaults.yaml"

# Fields of which one choice excludes the others: a model's own choice replaces the inherited one.
_REPLACED_WHOLE = frozenset({"objective"})


class SpecError(TerminalError):
    """A spec that cannot be used.

    Attributes:
        problems: Everything that is wrong, not only the first thing.
    """

    def __init__(self, file: Path, problems: list[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(
            f"{file.name} has {count}:\n{lines}",
            hint="correct it; `slipway validate` checks a spec, `slipway schema` lists the fields",
            subject=str(file),
            details={"problems": [str(problem) for problem in problems]},
        )
        self.file = file
        self.problems = problems

    def __reduce__(self) -> tuple[Any, ...]:
        return (SpecError, (self.file, self.problems))


class _UniqueKeyLoader(yaml.CSafeLoader):
    """YAML allows a key twice and keeps the last; in a spec that is always a mistake."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As any loader, but a value such as the date 2026-02-30 is an error with its line."""
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value}: {error}", node.start_mark
            ) from None


def _mapping_with_unique_keys(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                None, None, "a field's name must be text", key.start_mark
            )
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key.value!r} stands here a second time", key.start_mark
            )
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_with_unique_keys
)


def spec_files(folder: Path) -> list[Path]:
    """Every spec in a folder, sorted; files whose name starts with `_` or `.` are not specs.

    A `.yml` is one too, so that `load_spec` says how it must be named.
    """
    return sorted(path for path in folder.glob("*.y*ml") if _is_spec(path))


def _is_spec(path: Path) -> bool:
    return path.suffix in {".yaml", ".yml"} and path.name[0] not in "_."


def sources(file: Path) -> list[Path]:
    """The files that a spec's values come from, the strongest first."""
    defaults = file.with_name(DEFAULTS)
    return [file, defaults] if defaults.is_file() else [file]


def load_spec(file: Path) -> ModelSpec:
    """The spec in a file, with the values of _defaults.yaml beside it filled in.

    Raises:
        SpecError: if anything is wrong, with every problem's file, line and field.
    """
    if file.suffix == ".yml":
        message = f"a spec's file ends in .yaml: rename it to {file.stem}.yaml"
        raise SpecError(file, [Problem(file, None, "", message)])
    merged = _read(file)
    files = sources(file)
    for defaults in files[1:]:
        inherited = _defaults(defaults, defaults.stat().st_mtime_ns)
        if _at(merged, "rollout", "health", "promise"):
            inherited = _without_implied(inherited)
        merged = _merge(inherited, merged)
    try:
        spec = ModelSpec.model_validate(merged)
    except ValidationError as error:
        raise SpecError(file, describe(error, ModelSpec, files)) from None
    problems = _cross_checks(spec, file, files)
    if problems:
        raise SpecError(file, problems)
    return spec


def _cross_checks(spec: ModelSpec, file: Path, files: list[Path]) -> list[Problem]:
    problems = []
    if spec.model != file.stem:
        path, line = locate(files, ("model",))
        message = f"found {spec.model!r}; allowed: the file's own name, {file.stem!r}"
        problems.append(Problem(path, line, "model", message))
    found = [(f"variants.{field}", message) for field, message in spec.chain_problems()]
    for field, message in (*found, *spec.gate_problems()):
        path, line = locate(files, tuple(field.split(".")))
        problems.append(Problem(path, line, field, message))
    return problems


def _read(file: Path) -> dict[str, Any]:
    try:
        # The loader is a safe one: CSafeLoader with a check for keys given twice.
        content = yaml.load(file.read_text("utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else None
        raise SpecError(file, [Problem(file, line, "", error.problem or "not YAML")]) from None
    except yaml.YAMLError as error:
        message = f"not YAML: {error}".replace("\n", " ")
        raise SpecError(file, [Problem(file, None, "", message)]) from None
    except UnicodeDecodeError as error:
        raise SpecError(file, [Problem(file, None, "", f"not UTF-8: {error.reason}")]) from None
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise SpecError(file, [Problem(file, None, "", message)]) from None
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise SpecError(file, [Problem(file, 1, "", f"found {found}; allowed: a mapping")])
    return content


@lru_cache(maxsize=8)
def _defaults(file: Path, _modified_ns: int) -> dict[str, Any]:
    return _read(file)


def _at(values: Any, *path: str) -> Any:
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _without_implied(defaults: dict[str, Any]) -> dict[str, Any]:
    """Defaults for a spec with a promise of its own, which goes before what they say of looks."""
    left = copy.deepcopy(defaults)
    for *path, field in IMPLIED:
        within = _at(left, "rollout", *path)
        if isinstance(within, dict):
            within.pop(field, None)
            if not within and path[-1:] == ["error_ratio"]:
                _at(left, "rollout", *path[:-1]).pop("error_ratio")
    return left


def _merge(defaults: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in own.items():
        inherited = merged.get(key)
        mappings = isinstance(inherited, dict) and isinstance(value, dict)
        if mappings and key not in _REPLACED_WHOLE:
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def spec_schema() -> dict[str, Any]:
    """JSON Schema of a spec, for editors."""
    schema = ModelSpec.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    # What _defaults.yaml gives may be missing from a model's own file.
    schema["required"] = ["model"]
    return schema
