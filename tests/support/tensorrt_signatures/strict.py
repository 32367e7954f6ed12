"""A module `tensorrt` that can be called with what the real one can be called with, and no more.

Every class, method, parameter, property and flag is from the record of the real package. What is
not there raises, as does an argument of another type; so does setting what cannot be set.
"""

from __future__ import annotations

import json
from enum import IntEnum
from types import ModuleType
from typing import Any

from support.tensorrt_signatures.record import BINDINGS, FOLDER

__all__ = ["BINDINGS", "StrictTensorRT", "read_record"]


def read_record(name: str) -> dict[str, Any]:
    """A record by the name of its file without .json."""
    recorded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return recorded


class StrictTensorRT(ModuleType):
    """The module.

    Args:
        version: One of BINDINGS.
        inputs: Shapes of the network's inputs, which the parser finds.
        refuses: Operation, node and reason with which the parser fails; None: it parses.
        plan: What building gives; None: nothing.
    """

    def __init__(
        self,
        version: str,
        inputs: dict[str, tuple[int, ...]],
        refuses: tuple[str, str, str] | None = None,
        plan: bytes | None = b"plan",
    ) -> None:
        super().__init__("tensorrt")
        self.__version__ = version
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {
            "OnnxParser.parse_from_file": refuses is None,
            "OnnxParser.num_errors": 1,
            "INetworkDefinition.num_inputs": len(inputs),
            "INetworkDefinition.num_layers": 7,
            "Builder.build_serialized_network": plan,
            "ITimingCache.serialize": b"timings",
        }
        if refuses is not None:
            names = ("node_operator", "node_name", "desc")
            parts = zip(names, refuses, strict=True)
            self.answers |= {f"ParserError.{name}": value for name, value in parts}
        self._inputs = list(inputs.items())
        for name, recorded in read_record(f"tensorrt-{version}")["classes"].items():
            made = _enum(name, recorded) if "members" in recorded else _class(name, recorded, self)
            setattr(self, name, made)

    def called(self, name: str) -> list[dict[str, Any]]:
        """The arguments of every call of a method."""
        return [arguments for called, arguments in self.calls if called == name]

    def answer(self, call: str, arguments: dict[str, Any], returns: str) -> Any:
        """What a call gives: as set, or an object of the class that it returns."""
        if call == "INetworkDefinition.get_input":
            tensor = self._new("ITensor")
            name, shape = self._inputs[arguments["index"]]
            vars(tensor).update(name=name, shape=shape)
            return tensor
        if call in self.answers:
            return self.answers[call]
        wanted = returns.rpartition("::")[2].removeprefix("I") if "::" in returns else returns
        return self._new(wanted) if hasattr(self, wanted) else None

    def _new(self, name: str) -> Any:
        cls = getattr(self, name)
        return cls.__new__(cls)


def _enum(name: str, recorded: dict[str, Any]) -> type[IntEnum]:
    return IntEnum(name, recorded["members"])  # type: ignore[return-value]


def _class(name: str, recorded: dict[str, Any], module: StrictTensorRT) -> type:
    body: dict[str, Any] = dict(recorded["constants"])
    body |= {
        method: _method(f"{name}.{method}", overloads, module)
        for method, overloads in recorded["methods"].items()
    }
    properties = recorded["properties"]

    def read(_self: Any, attribute: str) -> Any:
        if attribute in properties:
            return module.answers.get(f"{name}.{attribute}")
        raise AttributeError(f"tensorrt.{name} has no {attribute}")

    def write(self: Any, attribute: str, value: Any) -> None:
        own = type(self).__name__ != name
        if not own and not properties.get(attribute, {}).get("settable"):
            raise AttributeError(f"tensorrt.{name}.{attribute} cannot be set")
        if not own:
            module.calls.append((f"{name}.{attribute}", {"value": value}))
        object.__setattr__(self, attribute, value)

    return type(name, (), {**body, "__getattr__": read, "__setattr__": write})


def _method(call: str, overloads: list[dict[str, Any]], module: StrictTensorRT) -> Any:
    def method(*given: Any, **named: Any) -> Any:
        problems = []
        for overload in overloads:
            try:
                arguments = _bind(overload["parameters"], given, named, module)
            except TypeError as error:
                problems.append(str(error))
                continue
            arguments.pop("self", None)
            module.calls.append((call, arguments))
            return module.answer(call, arguments, overload["returns"])
        raise TypeError(f"tensorrt.{call}: {'; '.join(problems)}")

    return method


def _bind(
    parameters: list[dict[str, Any]], given: Any, named: dict[str, Any], module: StrictTensorRT
) -> dict[str, Any]:
    names = [one["name"] for one in parameters]
    if len(given) > len(names) or set(named) - set(names[len(given) :]):
        raise TypeError(f"takes {', '.join(names)}")
    bound = dict(zip(names, given, strict=False)) | named
    for one in parameters:
        if one["name"] not in bound:
            if not one["optional"]:
                raise TypeError(f"{one['name']} is missing")
        elif not _fits(bound[one["name"]], one["type"], module):
            raise TypeError(f"{one['name']} must be {one['type']}")
    return bound


def _fits(value: Any, type_: str, module: StrictTensorRT) -> bool:
    plain = {"str": str, "bool": bool, "typing.SupportsInt": int, "typing_extensions.Buffer": bytes}
    if type_ in plain:
        return isinstance(value, plain[type_])
    if type_ == "Dims":
        return isinstance(value, tuple) and all(isinstance(size, int) for size in value)
    known = getattr(module, type_.partition(".")[0], None)
    return known is None or isinstance(value, known)
