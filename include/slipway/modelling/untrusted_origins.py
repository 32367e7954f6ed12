"""Where the name of a file comes from in a graph: an asset, the saver's folder, or anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from slipway.modelling.untrusted_graph import (
    MAIN,
    collected_assets,
    names_in,
    node_of,
    tensor_names,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slipway.modelling.untrusted_graph import Graph, Unit

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_FED = frozenset({"Placeholder", "PlaceholderWithDefault"})
_HANDLE_READERS = frozenset({"ReadVariableOp", "VarIsInitializedOp", "AssignVariableOp"})


class Origin(Enum):
    """Where a tensor comes from."""

    ASSET = "an asset that is fed"
    FIXED_ASSET = "an asset's default, which is the asset only where the loader feeds it"
    SAVER = "the folder that the loader restores from"
    EMPTY = "the empty text"
    CONSTANT = "a constant"
    OTHER = "a request, or a computation"


@dataclass
class Origins:
    """Finds where tensors of a graph come from; what it cannot follow is `Origin.OTHER`.

    Attributes:
        graph: The graph.
    """

    graph: Graph
    _found: dict[tuple[str, str], frozenset[Origin]] = field(default_factory=dict)

    def of(self, unit: Unit, tensor: str) -> frozenset[Origin]:
        """Where a tensor comes from: through identities, calls, and the variables of assets.

        Args:
            unit: Where the tensor is used.
            tensor: As a node's input names it.
        """
        name = node_of(tensor)
        key = (unit.name, name)
        if key not in self._found:
            self._found[key] = frozenset({Origin.OTHER})  # what it is in a circle of calls
            self._found[key] = frozenset(self._find_origins(unit, name))
        return self._found[key]

    def _find_origins(self, unit: Unit, name: str) -> Iterable[Origin]:
        node = unit.nodes.get(name)
        if name in unit.arguments and node is None:
            return self._argument_origins(unit, unit.arguments.index(name))
        if name in unit.arguments or node is None or self.graph.called(node):
            return {Origin.OTHER}
        if node.op == "Identity":
            return self.of(unit, node.input[0])
        if node.op == "ReadVariableOp" and unit.name == MAIN:
            return self._variable_origins(node.input[0])
        return {self._given(unit, node)}

    def _given(self, unit: Unit, node: Any) -> Origin:
        """What a node gives that computes nothing."""
        constant = node.op == "Const"
        if not constant and node.op not in _FED:
            return Origin.OTHER
        if unit.name == MAIN and node.name in self._asked:
            return Origin.OTHER
        if unit.name == MAIN and node.name in self._assets:
            return Origin.ASSET if node.op == "Placeholder" else Origin.FIXED_ASSET
        if unit.name == MAIN and node.name == node_of(
            self.graph.meta.saver_def.filename_tensor_name
        ):
            return Origin.SAVER
        if not constant:
            return Origin.OTHER
        text = list(node.attr["value"].tensor.string_val)
        return Origin.EMPTY if text == [b""] else Origin.CONSTANT

    def _argument_origins(self, unit: Unit, index: int) -> set[Origin]:
        """Where an argument of a function comes from, at all places that call it."""
        found: set[Origin] = set()
        for caller, node in self.graph.nodes():
            if unit.name not in self.graph.called(node):
                continue
            inputs = [each for each in node.input if not each.startswith("^")]
            if not self._plainly_calls(node, unit) or len(inputs) != len(unit.arguments):
                found.add(Origin.OTHER)
            else:
                found |= self.of(caller, inputs[index])
        found |= self._bound_origins(unit, index)
        return found | ({Origin.OTHER} if unit.name in self.graph.swapped_in else set())

    def _plainly_calls(self, node: Any, unit: Unit) -> bool:
        """Whether a node hands its inputs to a function, and names it in no other way."""
        if node.op not in _CALLS or node.op in self.graph.units:
            return False
        named = [name for value in node.attr.values() for name in names_in(value)]
        return node.attr["f"].func.name == unit.name and named.count(unit.name) == 1

    def _bound_origins(self, unit: Unit, index: int) -> set[Origin]:
        """What the objects of the SavedModel bind to an argument; the last ones are bound."""
        objects = self.graph.meta.object_graph_def
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
        node = self.graph.units[MAIN].nodes.get(node_of(handle))
        if node is None or node.op != "VarHandleOp":
            return {Origin.OTHER}
        shared = _shared_name(node)
        same = {
            (unit.name, other.name)
            for unit, other in self.graph.nodes()
            if other.op == "VarHandleOp" and _shared_name(other) == shared
        }
        if any(unit != MAIN for unit, _ in same):
            return {Origin.OTHER}
        handles, found = {name for _, name in same}, set[Origin]()
        for user in self.graph.units[MAIN].nodes.values():
            used = [at for at, each in enumerate(user.input) if node_of(each) in handles]
            if not used or user.input[used[0]].startswith("^"):
                continue
            if user.op not in _HANDLE_READERS or used != [0]:
                return {Origin.OTHER}
            if user.op == "AssignVariableOp":
                found |= self.of(self.graph.units[MAIN], user.input[1])
        return found

    @cached_property
    def _assets(self) -> set[str]:
        # A loader that finds the list itself does not look into the collection.
        listed = list(self.graph.meta.asset_file_def) or collected_assets(self.graph.meta)
        return {node_of(asset.tensor_info.name) for asset in listed}

    @cached_property
    def _asked(self) -> set[str]:
        """Nodes that a request feeds."""
        signatures = self.graph.meta.signature_def
        return {
            node_of(name)
            for key in signatures
            for info in signatures[key].inputs.values()
            for name in tensor_names(info)
        }


def _shared_name(node: Any) -> str:
    shared: bytes = node.attr["shared_name"].s
    return shared.decode(errors="replace") or str(node.name)
