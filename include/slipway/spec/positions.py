"""Where in a YAML file a field stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FieldPath = tuple[str | int, ...]


def line_of(file: Path, path: Sequence[str | int], *, exact: bool = False) -> int | None:
    """The line of a field in a YAML file, counted from 1.

    Args:
        file: A YAML file that parses.
        path: Keys and indices from the root.
        exact: Whether only the field itself will do. Otherwise the line of its nearest parent
            in the file is given.

    Returns:
        The line of the key, or of the item of a list; None if the file says nothing of it.
    """
    node = yaml.compose(file.read_text("utf-8"), Loader=yaml.CSafeLoader)
    line = None
    for step in path:
        found = _child(node, step)
        if found is None:
            return None if exact else line
        line, node = found
    return line


def _child(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item = node.value[step]
        return item.start_mark.line + 1, item
    return None
