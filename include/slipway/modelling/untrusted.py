"""SavedModels of strangers: read, not loaded, and refused if their graph could do harm.

A SavedModel is a program. This finds what its operations could do to the machine; it cannot find a
model that only uses too much memory or time, or that answers wrongly: limits and gates are for
that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.modelling import saved_model
from slipway.modelling.untrusted_files import file_problems
from slipway.modelling.untrusted_graph import MAIN, Graph, tensors_of
from slipway.modelling.untrusted_keras import lambda_layers
from slipway.modelling.untrusted_operations import LAMBDA, OPERATIONS, UNKNOWN, Harmless
from slipway.modelling.untrusted_origins import Origin, Origins

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from slipway.modelling.untrusted_graph import Unit
    from slipway.modelling.untrusted_operations import Rule

_SHOWN = 5
_LARGEST_CONSTANT_BYTES = 2 << 30  # an exporter cannot write more: it is protobuf's limit
_ASSET_ORIGINS = frozenset({Origin.ASSET, Origin.FIXED_ASSET})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that speaks against loading a SavedModel.

    Attributes:
        operation: Name of the operation, by which a spec may allow it; "" if nothing allows it.
        node: The node, or the file.
        function: The function that holds the node; "" if the graph itself does, or for a file.
        reason: What it does.
    """

    operation: str
    node: str
    function: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.node!r} of function {self.function!r}" if self.function else repr(self.node)
        return f"{self.operation} (node {place}) {self.reason}" if self.operation else self.reason


def scan(folder: Path) -> list[Finding]:
    """What speaks against loading a SavedModel, all of it, in the order of the graph.

    Raises:
        TerminalError: It is no SavedModel.
    """
    problems = [Finding("", file, "", reason) for file, reason in file_problems(folder)]
    content = saved_model.parse(folder)
    try:
        for meta in content.meta_graphs:
            problems += _in_graph(Graph(meta))
        problems += [Finding(LAMBDA, name, "", reason) for name, reason in lambda_layers(folder)]
    except RecursionError:
        reason = "the graph is nested deeper than any exporter writes"
        problems.append(Finding("", "saved_model.pb", "", reason))
    return problems


def require_safe(folder: Path, allow: Collection[str] = ()) -> None:
    """Prove that a SavedModel holds nothing that its spec does not allow; nothing is loaded.

    Args:
        folder: Of the SavedModel.
        allow: Names of operations that may be in it all the same.

    Raises:
        TerminalError: It is no SavedModel, or with all that speaks against it by name and node;
            `details["findings"]` has the whole list.
    """
    refused = [found for found in scan(folder) if found.operation not in allow]
    if not refused:
        return
    operations = sorted({found.operation for found in refused if found.operation})
    raise TerminalError(
        f"the SavedModel is refused and was not loaded: {_shown(refused)}",
        hint=f"take them out of the model, or, if you trust whoever made it, list them in the "
        f"spec's incoming.allow_operations: [{', '.join(operations)}]"
        if operations
        else "export the model again with tf.saved_model.save, and drop what that wrote",
        subject=operations[0] if operations else refused[0].node,
        details={"findings": [str(found) for found in refused]},
    )


def require_safe_copy(folder: Path, allow: Collection[str] = ()) -> None:
    """As `require_safe`, of a folder that a person copied into a bucket: TFLite has no such graph.

    Raises:
        TerminalError: as `require_safe`.
    """
    if (folder / "saved_model.pb").is_file():
        require_safe(folder, allow)


def _shown(findings: Sequence[Finding]) -> str:
    texts = list(dict.fromkeys(str(found) for found in findings))
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more


def _in_graph(graph: Graph) -> Iterator[Finding]:
    names = [function.signature.name for function in graph.meta.graph_def.library.function]
    for name in sorted({name for name in names if names.count(name) > 1 or name == MAIN}):
        yield Finding("", name, "", f"the function {name!r} has no name of its own")
    origins = Origins(graph)
    for unit, node in graph.nodes():
        reason = _against(origins, unit, node)
        if reason is not None:
            yield Finding(node.op, node.name, unit.name, reason)
        for size in _constant_sizes(node):
            if size > _LARGEST_CONSTANT_BYTES:
                reason = f"the constant {node.name!r} would take {size} bytes of memory"
                yield Finding("", node.name, unit.name, reason)


def _against(origins: Origins, unit: Unit, node: Any) -> str | None:
    """What speaks against one node; None if nothing."""
    rule = OPERATIONS.get(node.op)
    if rule is None:
        return None if node.op in origins.graph.units or _is_known(node.op) else UNKNOWN
    return None if _is_harmless(origins, unit, node, rule) else rule.reason


def _is_harmless(origins: Origins, unit: Unit, node: Any, rule: Rule) -> bool:
    graph, place = origins.graph, (unit.name, node.name)
    if rule.harmless is Harmless.NO_FILE:
        given = node.attr[rule.attribute]
        value = given.s.decode(errors="replace")
        if given.WhichOneof("value") not in {"s", None}:  # the caller of the function says it
            return False
        return not value or value.startswith(rule.no_file or ("\0",))
    if rule.harmless is Harmless.SAVER:
        return place not in graph.run_when_served and (
            place not in graph.run_when_restored
            or node.op != "RestoreV2"
            or _origins_of(origins, unit, node, 0) <= {Origin.SAVER}
        )
    if rule.harmless is Harmless.EMPTY_FILE_NAME:
        return _origins_of(origins, unit, node, rule.file_input) == {Origin.EMPTY}
    if rule.harmless is Harmless.ASSETS:
        found = _origins_of(origins, unit, node, rule.file_input)
        fed = Origin.FIXED_ASSET not in found or place not in graph.run_by_requests
        return fed and found <= _ASSET_ORIGINS
    return False


def _origins_of(origins: Origins, unit: Unit, node: Any, at: int) -> frozenset[Origin]:
    if at >= len(node.input):
        return frozenset({Origin.OTHER})
    return origins.of(unit, node.input[at])


def _is_known(operation: str) -> bool:
    """Whether TensorFlow registers an operation, by itself and with nothing else imported."""
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(operation) is not None


def _constant_sizes(node: Any) -> Iterator[int]:
    """Bytes that each constant of a node takes once it is unpacked."""
    for value in node.attr.values():
        for tensor in tensors_of(value):
            count = math.prod(max(dimension.size, 0) for dimension in tensor.tensor_shape.dim)
            yield count * _item_bytes(tensor.dtype)


def _item_bytes(dtype: int) -> int:
    import tensorflow as tf

    try:
        return max(int(tf.as_dtype(dtype).size), 1)
    except TypeError:  # no type at all: TensorFlow refuses the graph
        return 1
