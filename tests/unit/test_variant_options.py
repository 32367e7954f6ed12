"""The options that bench/variants.py measures are the registry's."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from slipway.registry import TECHNIQUES, config_class

ROOT = Path(__file__).resolve().parents[2]
# A GPU builds engines; the others are measured as the models' own specs have them.
_ELSEWHERE = {"tensorrt", "prune", "distill", "quantize"}
# Says how ranges are found, or is the same as another value today.
_NOT_PRECISION = {"optimization", "calibration_method"}


@pytest.fixture(scope="module")
def options() -> Any:
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        import variant_options
    finally:
        sys.path.pop(0)
    return variant_options


def choices(technique: str) -> set[tuple[str, str, Any]]:
    """Every named choice of a technique, and every switch: (technique, field, value)."""
    fields = config_class(technique).model_fields
    switches = {
        (technique, name, value)
        for name, field in fields.items()
        if field.annotation is bool
        for value in (False, True)
    }
    return switches | {
        (technique, name, value)
        for name, field in fields.items()
        if name not in _NOT_PRECISION
        for kind in (field.annotation, *get_args(field.annotation))
        if get_origin(kind) is Literal
        for value in get_args(kind)
    }


def test_every_choice_of_every_conversion_is_measured(options: Any) -> None:
    conversions = [name for name in TECHNIQUES if name not in _ELSEWHERE]
    wanted = {choice for name in conversions for choice in choices(name)}
    measured = set()
    for chain in options.CONVERSIONS.values():
        for technique, given in chain.items():
            config = config_class(technique).model_validate(given)
            measured |= {
                (technique, name, value)
                for name, value in config.model_dump().items()
                if isinstance(value, (str, bool))
            }
    assert wanted
    assert wanted <= measured, sorted(wanted - measured)


def test_the_page_has_a_row_for_every_option(options: Any) -> None:
    page = (ROOT / "docs/variants.md").read_text("utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert sections
    for section in sections:
        rows = set(re.findall(r"^\| (\w+) \|", section, re.MULTILINE)) - {"option"}
        trained = set() if section.startswith("mobilenet") else set(options.TRAINED)
        assert rows == {"original", *options.CONVERSIONS, *trained}, section.splitlines()[0]
