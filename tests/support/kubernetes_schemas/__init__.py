"""Kubernetes' own schemas, reduced to what Slipway renders, and strict: no unknown field passes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
MINORS = ("v1.37", "v1.36", "v1.35")

# An extension: its schema is not Kubernetes', but of the operator that brings it.
_EXTENSIONS = ("podmonitor.json",)


@cache
def _schemas(minor: str) -> dict[str, dict[str, Any]]:
    """A schema by API version and kind."""
    found = json.loads((FOLDER / f"{minor}.json").read_text("utf-8"))
    schemas = {
        name: {"$ref": f"#/definitions/{definition}", "definitions": found["definitions"]}
        for name, definition in found["kinds"].items()
    }
    for extension in _EXTENSIONS:
        schemas |= json.loads((FOLDER / extension).read_text("utf-8"))["kinds"]
    return schemas


def problems_of(rendered: dict[str, Any], minor: str) -> list[str]:
    """What a strict API server of a minor version would refuse about an object.

    Args:
        rendered: The object.
        minor: One of `MINORS`.
    """
    from jsonschema import Draft7Validator

    kind = f"{rendered.get('apiVersion')}/{rendered.get('kind')}"
    schema = _schemas(minor).get(kind)
    if schema is None:
        return [f"Kubernetes {minor} has no {kind}, or its schema is not kept here"]
    found = Draft7Validator(schema).iter_errors(rendered)
    return [f"{kind}: {error.json_path}: {error.message}" for error in found]
