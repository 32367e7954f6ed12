"""docker-compose.yaml as Compose reads it, without an engine."""

from __future__ import annotations

import re
from typing import Any

import yaml

from support.specs import PROJECT

COMPOSE_FILE = PROJECT / "docker-compose.yaml"
EXAMPLE_ENV = PROJECT / "docker" / "example.env"

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)(?P<rest>[^}]*)\}")


def compose() -> dict[str, Any]:
    """The file, with the value of every variable made up: its name in lower case."""
    text = _VARIABLE.sub(lambda found: found["name"].lower(), COMPOSE_FILE.read_text("utf-8"))
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def variables() -> dict[str, set[str]]:
    """Every variable that the file asks for, with what stands behind its name in the braces."""
    found: dict[str, set[str]] = {}
    for match in _VARIABLE.finditer(COMPOSE_FILE.read_text("utf-8")):
        found.setdefault(match["name"], set()).add(match["rest"])
    return found


def example_env() -> dict[str, str]:
    """Names and values of docker/example.env."""
    lines = EXAMPLE_ENV.read_text("utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}
