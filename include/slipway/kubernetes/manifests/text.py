"""Objects as text that people review and `kubectl apply` takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.kubernetes.manifests.base import Object


class _Readable(yaml.SafeDumper):
    """Writes text of several lines as a block, and repeats what two objects share."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - yaml's signature
        """Never an anchor: a reviewer sees each object whole."""
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Readable.add_representer(str, _write_text)


def as_yaml(objects: Sequence[Object]) -> str:
    """One document an object, in the order given."""
    return yaml.dump_all(objects, Dumper=_Readable, sort_keys=False, explicit_start=True, width=100)


def as_json(objects: Sequence[Object]) -> str:
    """One List with all objects, in the order given."""
    content = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    return json.dumps(content, indent=2) + "\n"
