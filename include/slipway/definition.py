"""Model definitions: the one small Python module that a user writes.

A definition is a module in include/models/. Slipway calls these functions by name:

    load_data(split)              required: Examples for "train", "validation" or "test"
    build_model()                 required unless the spec brings a SavedModel: a compiled
                                  tf_keras model
    build_student()               needed by distill: a compiled tf_keras model with the
                                  teacher's outputs
    train(model, train, validation, config)
                                  optional: a training loop of your own; config is the spec's
                                  `train` part as a dict, with the seed
    METRICS                       optional: {name: function(labels, outputs) -> float}
    LOWER_IS_BETTER               optional: names of own metrics of which less is better
    slices(examples)              optional: {name: bool array of shape [examples]}
    SIGNATURE_INPUTS              optional: {name: tf.TensorSpec} of the served signature;
                                  by default taken from the model's inputs
    calibration_data()            optional: Examples that integer conversions are calibrated with;
                                  by default the training split
    data_version()                optional: a str that changes when the data does; results are
                                  reused only while it stays the same
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slipway.errors import SlipwayError, TerminalError

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np

Split = Literal["train", "validation", "test"]
DATA_VERSION = "data_version"


@dataclass(frozen=True)
class Examples:
    """A split of the data.

    Attributes:
        inputs: Arrays by the name of the signature's input, each of shape [examples, ...].
        labels: Array of shape [examples, ...].
    """

    inputs: dict[str, np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, count: int) -> Examples:
        """The first examples, at most `count`."""
        inputs = {name: values[:count] for name, values in self.inputs.items()}
        return Examples(inputs, self.labels[:count])


class Definition:
    """A loaded definition: the user's functions, with their mistakes turned into clear errors."""

    def __init__(self, module: ModuleType, file: Path) -> None:
        self.module = module
        self.file = file

    def has(self, name: str) -> bool:
        """Whether the module defines a name."""
        return hasattr(self.module, name)

    def get(self, name: str, default: Any) -> Any:
        """A value that the module may define."""
        return getattr(self.module, name, default)

    def call(self, name: str, *args: Any) -> Any:
        """Call one of the user's functions.

        Raises:
            TerminalError: if it is missing or raises, with the place in the user's file.
        """
        function = getattr(self.module, name, None)
        if not callable(function):
            raise TerminalError(
                f"{self.file.name} defines no function {name}",
                hint=f"add {name} to {self.file}; docs/model-definitions.md shows how",
                subject=str(self.file),
            )
        try:
            return function(*args)
        except SlipwayError:
            raise
        except (Exception, SystemExit) as error:
            raise TerminalError(
                f"{name} in {self.file.name}{_place(error, self.file)} raised "
                f"{type(error).__name__}: {error}",
                hint=f"correct {name} in {self.file}; the full traceback is in the log",
                subject=str(self.file),
            ) from error

    def load_data(self, split: Split) -> Examples:
        """A split, checked for shape.

        Raises:
            TerminalError: if the function fails or what it returns is not usable.
        """
        examples = self.call("load_data", split)
        problem = _shape_problem(examples)
        if problem:
            raise TerminalError(
                f"load_data({split!r}) in {self.file.name}: {problem}",
                hint="return Examples(inputs={name: array}, labels=array) with equal first "
                "dimensions and at least one example",
                subject=str(self.file),
            )
        checked: Examples = examples
        return checked


def load_definition(file: Path) -> Definition:
    """Import the module of a definition.

    Raises:
        TerminalError: if the file is missing or its import raises.
    """
    name = f"slipway_definition_{file.stem}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise TerminalError(
            f"there is no model definition {file}",
            hint="put the module there, or correct `definition` in the spec",
            subject=str(file),
        )
    module = module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise TerminalError(
            f"{file.name}{_place(error, file)} cannot be imported: {type(error).__name__}: {error}",
            hint=f"correct {file}; the full traceback is in the log",
            subject=str(file),
        ) from error
    finally:
        sys.path.remove(str(file.parent))
    return Definition(module, file)


def data_version(file: Path) -> str | None:
    """What the definition's `data_version` says; None, without an import, if it has none.

    Only a function that stands at the module's top level counts: whether there is one is read from
    the source, as importing a definition may take seconds.

    Raises:
        TerminalError: if the module cannot be read or imported, or the function raises or returns
            anything but a str that is not empty.
    """
    if not _has_function(file, DATA_VERSION):
        return None
    version = load_definition(file).call(DATA_VERSION)
    if not isinstance(version, str) or not version:
        raise TerminalError(
            f"{DATA_VERSION} in {file.name} returned {version!r}, not a str that says something",
            hint=f"return a digest, a date or an ETag of the data from {DATA_VERSION}",
            subject=str(file),
        )
    return version


def _has_function(file: Path, name: str) -> bool:
    try:
        body = ast.parse(file.read_bytes()).body
    except OSError as error:
        raise TerminalError(
            f"the model definition {file} cannot be read: {error.strerror}",
            hint="put the module there, or correct `definition` in the spec",
            subject=str(file),
        ) from None
    except (SyntaxError, ValueError):
        return False  # the step that imports it says where the mistake is
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in body)


def _place(error: BaseException, file: Path) -> str:
    """Line of the user's file in which the error arose, as `:line`."""
    line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f":{line}" if line else ""


def _shape_problem(examples: object) -> str | None:
    if not isinstance(examples, Examples):
        return f"returned {type(examples).__name__}, not Examples"
    if not examples.inputs:
        return "inputs is empty"
    named = {"labels": examples.labels, **{f"input {k!r}": v for k, v in examples.inputs.items()}}
    for name, values in named.items():
        if not hasattr(values, "__len__"):
            return f"{name} is {type(values).__name__}, not an array"
        if len(values) != len(examples):
            return f"{name} has {len(values)} examples, labels has {len(examples)}"
    return None if len(examples) else "there are no examples"
