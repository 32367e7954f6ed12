"""Specs for tests: the smallest one that is right, and folders of them."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

SMALLEST = """\
model: {model}
definition: digits
gates:
  metrics:
    accuracy: {{floor: 0.9}}
objective: {{minimise: size_bytes}}
publish: {{base_uri: "s3://models"}}
rollout:
  health:
    checks:
      error_ratio: {{largest: 0.01}}
"""


def write_spec(folder: Path, model: str = "tiny", extra: str = "") -> Path:
    """Write the smallest right spec, and what comes after it."""
    file = folder / f"{model}.yaml"
    file.write_text(SMALLEST.format(model=model) + extra, "utf-8")
    return file
