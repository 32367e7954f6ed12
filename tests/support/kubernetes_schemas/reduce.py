"""``make kubernetes-schemas``: takes the schemas out of Kubernetes' own Go module.

The newest patch release of each minor version comes from the Go module proxy, by the go command.
Of its ``api/openapi-spec/swagger.json`` are kept the kinds that Slipway renders and what they refer
to, without descriptions; every object then refuses fields that it does not know.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from typing import Any

from support.kubernetes_schemas import FOLDER, MINORS

KINDS = (
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("batch/v1", "Job"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("policy/v1", "PodDisruptionBudget"),
)
_MODULE = "k8s.io/kubernetes"
_SWAGGER = "api/openapi-spec/swagger.json"
_REFERENCE = "#/definitions/"
_GVK = "x-kubernetes-group-version-kind"
_KEPT = ("type", "required", "enum", "format", "$ref")


def main() -> None:
    """Write one file for each minor version."""
    for minor in MINORS:
        module = _downloaded(minor)
        with zipfile.ZipFile(module["Zip"]) as archive:
            name = f"{_MODULE}@{module['Version']}/{_SWAGGER}"
            definitions = json.loads(archive.read(name))["definitions"]
        origin = {"source": f"{_MODULE}@{module['Version']}/{_SWAGGER}", "sum": module["Sum"]}
        text = _text({**origin, **reduced(definitions)})
        (FOLDER / f"{minor}.json").write_text(text, "utf-8")
        sys.stdout.write(f"{minor}: {module['Version']}, {len(text) / 1024:.0f} KiB\n")


def reduced(definitions: dict[str, Any]) -> dict[str, Any]:
    """The kinds by API version and name, and all definitions that they need."""
    kinds = {}
    for name, definition in definitions.items():
        for each in definition.get(_GVK, ()):
            version = "/".join(part for part in (each["group"], each["version"]) if part)
            if (version, each["kind"]) in KINDS:
                kinds[f"{version}/{each['kind']}"] = name
    needed: dict[str, Any] = {}
    waiting = list(kinds.values())
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = _strict(definitions[name])
            waiting += _referred(needed[name])
    return {"kinds": kinds, "definitions": needed}


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    found = {key: schema[key] for key in _KEPT if key in schema}
    if "items" in schema:
        found["items"] = _strict(schema["items"])
    if "properties" in schema:
        properties = schema["properties"]
        found["properties"] = {name: _strict(each) for name, each in properties.items()}
        found["additionalProperties"] = False
    elif "additionalProperties" in schema:
        found["additionalProperties"] = _strict(schema["additionalProperties"])
    if _GVK in schema and "properties" in schema:
        found["required"] = sorted({*schema.get("required", ()), "apiVersion", "kind", "metadata"})
    return found


def _referred(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for each in schema for name in _referred(each)]
    if not isinstance(schema, dict):
        return []
    own = schema.get("$ref")
    found = [own.removeprefix(_REFERENCE)] if isinstance(own, str) else []
    return found + _referred(list(schema.values()))


def _downloaded(minor: str) -> dict[str, str]:
    command = ["go", "mod", "download", "-json", f"{_MODULE}@{minor}"]
    with tempfile.TemporaryDirectory() as empty:  # no go.mod there that could pin another version
        done = subprocess.run(command, cwd=empty, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr or done.stdout}")
    module: dict[str, str] = json.loads(done.stdout)
    return module


def _text(content: dict[str, Any]) -> str:
    """One definition a line: small, and a change shows where it is."""
    definitions = content.pop("definitions")
    head = json.dumps(content, indent=1)[:-2]
    lines = [f"  {json.dumps(name)}: {_dense(each)}" for name, each in sorted(definitions.items())]
    return f'{head},\n "definitions": {{\n' + ",\n".join(lines) + "\n }\n}\n"


def _dense(schema: dict[str, Any]) -> str:
    return json.dumps(schema, separators=(",", ":"), sort_keys=True)


if __name__ == "__main__":
    main()
