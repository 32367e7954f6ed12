"""The graph of a SavedModel as it was written: what calls what, and what runs when."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAIN = ""
"""Name of the unit that is the graph itself, not one of its functions."""

_ASSETS_KEY = "saved_model_assets"
_SWAPPED_IN = "api_implements"  # an optimiser runs such a function in place of its like


@dataclass(frozen=True)
class Unit:
    """The graph itself, or one function of its library.

    Attributes:
        name: `MAIN`, or the function's name.
        nodes: NodeDef by name.
        arguments: Names of a function's arguments.
    """

    name: str
    nodes: dict[str, Any]
    arguments: tuple[str, ...] = ()


@dataclass
class Graph:
    """One MetaGraphDef.

    Attributes:
        meta: The protobuf message.
    """

    meta: Any

    @cached_property
    def units(self) -> dict[str, Unit]:
        """The graph and all functions of its library, by name."""
        graph = self.meta.graph_def
        found = {MAIN: Unit(MAIN, {node.name: node for node in graph.node})}
        for function in graph.library.function:
            arguments = tuple(argument.name for argument in function.signature.input_arg)
            nodes = {node.name: node for node in function.node_def}
            found[function.signature.name] = Unit(function.signature.name, nodes, arguments)
        return found

    def nodes(self) -> Iterator[tuple[Unit, Any]]:
        """Every node, whether something runs it or not; of two with one name, both."""
        graph = self.meta.graph_def
        for node in graph.node:
            yield self.units[MAIN], node
        for function in graph.library.function:
            for node in function.node_def:
                yield self.units[function.signature.name], node

    def called(self, node: Any) -> set[str]:
        """The functions that a node names: as its operation, or in any attribute, text too."""
        named = {node.op, *(name for value in node.attr.values() for name in names_in(value))}
        return {name for name in named if name != MAIN and name in self.units}

    @cached_property
    def run_when_served(self) -> set[tuple[str, str]]:
        """Unit and node of all that signatures, the loader or a caller of a function may run."""
        called = {*self.meta.object_graph_def.concrete_functions, *self.swapped_in}
        return self._run_by({*self._signature_tensors(), *self._initialisers()}, called)

    @cached_property
    def run_by_requests(self) -> set[tuple[str, str]]:
        """Unit and node of all that a request may run, where the loader feeds no asset."""
        return self._run_by(self._signature_tensors(), self.swapped_in)

    @cached_property
    def run_when_restored(self) -> set[tuple[str, str]]:
        """Unit and node of all that the saver runs."""
        saver = self.meta.saver_def
        return self._run_by({saver.save_tensor_name, saver.restore_op_name}, ())

    @cached_property
    def swapped_in(self) -> set[str]:
        """Functions that an optimiser may run in place of another, named nowhere."""
        functions = self.meta.graph_def.library.function
        return {each.signature.name for each in functions if _SWAPPED_IN in each.attr}

    def _signature_tensors(self) -> set[str]:
        signatures = self.meta.signature_def
        return {
            name
            for key in signatures
            if not key.startswith("__saved_model_")
            for info in signatures[key].outputs.values()
            for name in tensor_names(info)
        }

    def _initialisers(self) -> set[str]:
        signatures, collections = self.meta.signature_def, self.meta.collection_def
        found = {
            name
            for key in signatures
            if key.startswith("__saved_model_")
            for info in signatures[key].outputs.values()
            for name in tensor_names(info)
        }
        for key in collections:
            found.update(collections[key].node_list.value)
        return found

    def _run_by(self, tensors: Iterable[str], functions: Iterable[str]) -> set[tuple[str, str]]:
        """All that runs when these tensors of the graph are asked for and functions are called."""
        waiting = [(MAIN, node_of(tensor)) for tensor in tensors]
        seen: set[tuple[str, str]] = set()
        entered: set[str] = set()
        calls = list(functions)
        while waiting or calls:
            while calls:
                name = calls.pop()
                if name in self.units and name not in entered:
                    entered.add(name)
                    waiting += [(name, node) for node in self.units[name].nodes]
                    calls += self._gradients.get(name, ())
            if not waiting:
                break
            place = waiting.pop()
            node = self.units[place[0]].nodes.get(place[1])
            if node is None or place in seen:
                continue
            seen.add(place)
            waiting += [(place[0], node_of(each)) for each in node.input]
            calls += self.called(node)
        return seen

    @cached_property
    def _gradients(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for each in self.meta.graph_def.library.gradient:
            found.setdefault(each.function_name, []).append(each.gradient_func)
        return found


def collected_assets(meta: Any) -> list[Any]:
    """The AssetFileDefs where TensorFlow 1 keeps them: in a collection."""
    from tensorflow.core.protobuf import meta_graph_pb2

    if _ASSETS_KEY not in meta.collection_def:
        return []
    packed = meta.collection_def[_ASSETS_KEY].any_list.value
    assets = [meta_graph_pb2.AssetFileDef() for _ in packed]
    for asset, one in zip(assets, packed, strict=True):
        one.Unpack(asset)
    return assets


def tensors_of(value: Any) -> Iterator[Any]:
    """The TensorProtos in an attribute's value."""
    if value.WhichOneof("value") == "tensor":
        yield value.tensor
    yield from value.list.tensor


def names_in(value: Any) -> Iterator[str]:
    """What an attribute's value names, at any depth: functions, and text that may be a name."""
    for function in (value.func, *value.list.func):
        yield function.name
        for inner in function.attr.values():
            yield from names_in(inner)
    for text in (value.s, *value.list.s):
        yield text.decode(errors="replace")


def tensor_names(info: Any) -> Iterator[str]:
    """The tensors of a TensorInfo: one, or the parts of a sparse or composite one."""
    yield info.name
    sparse = info.coo_sparse
    yield from (
        sparse.values_tensor_name,
        sparse.indices_tensor_name,
        sparse.dense_shape_tensor_name,
    )
    for part in info.composite_tensor.components:
        yield from tensor_names(part)


def node_of(tensor: str) -> str:
    """The node, or the argument, that a node's input names."""
    return tensor.removeprefix("^").partition(":")[0]
