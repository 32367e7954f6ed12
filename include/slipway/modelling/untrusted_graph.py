"""The graph of a SavedModel as it was written: what calls what, and where file names come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAIN = ""
"""Name of the unit that is the graph itself, not one of its functions."""

_ASSETS_KEY = "saved_model_assets"
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_FED = frozenset({"Placeholder", "PlaceholderWithDefault"})
_HANDLE_READERS = frozenset({"ReadVariableOp", "VarIsInitializedOp", "AssignVariableOp"})


class Origin(Enum):
    """Where a tensor comes from."""

    ASSET = "an asset that is fed"
    FIXED_ASSET = "an asset's constant, which is the asset only where the loader feeds it"
    SAVER = "the folder that the loader restores from"
    EMPTY = "the empty text"
    CONSTANT = "a constant"
    OTHER = "a request, or a computation"


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
    _origins: dict[tuple[str, str], frozenset[Origin]] = field(default_factory=dict)

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
        named = {node.op, *(name for value in node.attr.values() for name in _names(value))}
        return {name for name in named if name != MAIN and name in self.units}

    @cached_property
    def run_when_served(self) -> set[tuple[str, str]]:
        """Unit and node of all that signatures, the loader or a caller of a function may run."""
        return self._run_by(
            {*self._signature_tensors(), *self._initialisers()},
            self.meta.object_graph_def.concrete_functions,
        )

    @cached_property
    def run_by_requests(self) -> set[tuple[str, str]]:
        """Unit and node of all that a request may run, where the loader feeds no asset."""
        return self._run_by(self._signature_tensors(), ())

    @cached_property
    def run_when_restored(self) -> set[tuple[str, str]]:
        """Unit and node of all that the saver runs."""
        saver = self.meta.saver_def
        return self._run_by({saver.save_tensor_name, saver.restore_op_name}, ())

    def origins(self, unit: Unit, tensor: str) -> frozenset[Origin]:
        """Where a tensor comes from: through identities, calls, and the variables of assets.

        Args:
            unit: Where the tensor is used.
            tensor: As a node's input names it.
        """
        name = _node_of(tensor)
        key = (unit.name, name)
        if key not in self._origins:
            self._origins[key] = frozenset({Origin.OTHER})  # what it is in a circle of calls
            self._origins[key] = frozenset(self._find_origins(unit, name))
        return self._origins[key]

    def _find_origins(self, unit: Unit, name: str) -> Iterable[Origin]:
        if name in unit.arguments:
            return self._argument_origins(unit, unit.arguments.index(name))
        node = unit.nodes.get(name)
        if node is None or self.called(node):
            return {Origin.OTHER}
        if node.op == "Identity":
            return self.origins(unit, node.input[0])
        if node.op == "ReadVariableOp" and unit.name == MAIN:
            return self._variable_origins(node.input[0])
        return {self._given(unit, node)}

    def _given(self, unit: Unit, node: Any) -> Origin:
        """What a node gives that computes nothing."""
        constant = node.op == "Const"
        if not constant and node.op not in _FED:
            return Origin.OTHER
        if unit.name == MAIN and node.name in self._assets:
            return Origin.FIXED_ASSET if constant else Origin.ASSET
        if unit.name == MAIN and node.name == _node_of(self.meta.saver_def.filename_tensor_name):
            return Origin.SAVER
        if not constant:
            return Origin.OTHER
        text = list(node.attr["value"].tensor.string_val)
        return Origin.EMPTY if text == [b""] else Origin.CONSTANT

    def _argument_origins(self, unit: Unit, index: int) -> set[Origin]:
        """Where an argument of a function comes from, at all places that call it."""
        found: set[Origin] = set()
        for caller, node in self.nodes():
            if unit.name not in self.called(node):
                continue
            inputs = [each for each in node.input if not each.startswith("^")]
            plain = node.op in _CALLS and node.op not in self.units
            if not plain or len(inputs) != len(unit.arguments):
                found.add(Origin.OTHER)
            else:
                found |= self.origins(caller, inputs[index])
        found |= self._bound_origins(unit, index)
        return found

    def _bound_origins(self, unit: Unit, index: int) -> set[Origin]:
        """What the objects of the SavedModel bind to an argument; the last ones are bound."""
        objects = self.meta.object_graph_def
        if unit.name not in objects.concrete_functions:
            return set()
        bound = list(objects.concrete_functions[unit.name].bound_inputs)
        at = index - (len(unit.arguments) - len(bound))
        if not (0 <= at < len(bound) and 0 <= bound[at] < len(objects.nodes)):
            return {Origin.OTHER}
        is_asset = objects.nodes[bound[at]].WhichOneof("kind") == "asset"
        return {Origin.ASSET if is_asset else Origin.OTHER}

    def _variable_origins(self, handle: str) -> set[Origin]:
        """What is ever assigned to a variable of the graph, if nothing else can reach it."""
        node = self.units[MAIN].nodes.get(_node_of(handle))
        if node is None or node.op != "VarHandleOp":
            return {Origin.OTHER}
        shared = _shared_name(node)
        same = {
            (unit.name, other.name)
            for unit, other in self.nodes()
            if other.op == "VarHandleOp" and _shared_name(other) == shared
        }
        if any(unit != MAIN for unit, _ in same):
            return {Origin.OTHER}
        handles, found = {name for _, name in same}, set[Origin]()
        for user in self.units[MAIN].nodes.values():
            used = [at for at, each in enumerate(user.input) if _node_of(each) in handles]
            if not used or user.input[used[0]].startswith("^"):
                continue
            if user.op not in _HANDLE_READERS or used != [0]:
                return {Origin.OTHER}
            if user.op == "AssignVariableOp":
                found |= self.origins(self.units[MAIN], user.input[1])
        return found

    @cached_property
    def _assets(self) -> set[str]:
        # A loader that finds the list itself does not look into the collection.
        listed = list(self.meta.asset_file_def) or collected_assets(self.meta)
        return {_node_of(asset.tensor_info.name) for asset in listed}

    def _signature_tensors(self) -> set[str]:
        signatures = self.meta.signature_def
        return {
            name
            for key in signatures
            if not key.startswith("__saved_model_")
            for info in signatures[key].outputs.values()
            for name in _tensor_names(info)
        }

    def _initialisers(self) -> set[str]:
        signatures, collections = self.meta.signature_def, self.meta.collection_def
        found = {
            name
            for key in signatures
            if key.startswith("__saved_model_")
            for info in signatures[key].outputs.values()
            for name in _tensor_names(info)
        }
        for key in collections:
            found.update(collections[key].node_list.value)
        return found

    def _run_by(self, tensors: Iterable[str], functions: Iterable[str]) -> set[tuple[str, str]]:
        """All that runs when these tensors of the graph are asked for and functions are called."""
        waiting = [(MAIN, _node_of(tensor)) for tensor in tensors]
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
            waiting += [(place[0], _node_of(each)) for each in node.input]
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


def _names(value: Any) -> Iterator[str]:
    """What an attribute's value names, at any depth: functions, and text that may be a name."""
    for function in (value.func, *value.list.func):
        yield function.name
        for inner in function.attr.values():
            yield from _names(inner)
    for text in (value.s, *value.list.s):
        yield text.decode(errors="replace")


def _tensor_names(info: Any) -> Iterator[str]:
    """The tensors of a TensorInfo: one, or the parts of a sparse or composite one."""
    yield info.name
    sparse = info.coo_sparse
    yield from (
        sparse.values_tensor_name,
        sparse.indices_tensor_name,
        sparse.dense_shape_tensor_name,
    )
    for part in info.composite_tensor.components:
        yield from _tensor_names(part)


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _shared_name(node: Any) -> str:
    shared: bytes = node.attr["shared_name"].s
    return shared.decode(errors="replace") or str(node.name)
