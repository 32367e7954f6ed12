"""Variants: chains of techniques, each link taken from the registry."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field, create_model, model_validator

from slipway.registry import STEPS, TECHNIQUES, config_class
from slipway.spec.base import Name, SpecModel

if TYPE_CHECKING:
    from slipway.spec.base import StepConfig

ORIGINAL = "original"


class VariantBase(SpecModel):
    """One link of a chain: the variant that it starts from and the technique applied to it."""

    model_config = ConfigDict(populate_by_name=True)

    source: Name = Field(
        ORIGINAL, alias="from", description="Variant that this one is made from; default original."
    )
    required: bool = Field(
        False, description="A required variant that fails or is rejected fails the whole build."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_technique_takes_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {
            key: {} if key in TECHNIQUES and value is None else value for key, value in data.items()
        }

    @model_validator(mode="after")
    def _one_technique(self) -> VariantBase:
        given = [name for name in TECHNIQUES if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            msg = f"give exactly one technique of {', '.join(TECHNIQUES)}; found {found}"
            raise ValueError(msg)
        return self

    @property
    def technique(self) -> str:
        """Name of the technique."""
        return next(name for name in TECHNIQUES if getattr(self, name) is not None)

    @property
    def config(self) -> StepConfig:
        """The technique's options."""
        found: StepConfig = getattr(self, self.technique)
        return found

    @property
    def consumes(self) -> tuple[str, ...]:
        """Kinds of artifact that it can be made from."""
        entry = STEPS[self.technique].consumes
        return self.config.consumes or ((entry,) if isinstance(entry, str) else entry or ())

    @property
    def produces(self) -> str:
        """Kind of its artifact."""
        return self.config.produces or STEPS[self.technique].produces or "keras"


def _technique_fields() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in TECHNIQUES:
        config = config_class(name)
        summary = (config.__doc__ or name).strip().splitlines()[0]
        fields[name] = (config | None, Field(None, description=summary))
    return fields


if TYPE_CHECKING:
    Variant = VariantBase
else:
    Variant = create_model(
        "Variant", __base__=VariantBase, __doc__=VariantBase.__doc__, **_technique_fields()
    )


def chain_problems(variants: dict[str, VariantBase], *, trained: bool) -> list[tuple[str, str]]:
    """What is wrong with the chains: pairs of field path and message.

    Args:
        variants: The variants of a spec by name.
        trained: Whether the original is a Keras model trained here, not an imported SavedModel.
    """
    problems: list[tuple[str, str]] = []
    for name, variant in variants.items():
        if name == ORIGINAL:
            problems.append((name, f"{ORIGINAL!r} is the model as trained; choose another name"))
        elif variant.source != ORIGINAL and variant.source not in variants:
            known = [ORIGINAL, *variants]
            close = get_close_matches(variant.source, known, n=1)
            nearest = f"; did you mean {close[0]!r}?" if close else ""
            there_are = f"there are {', '.join(known)}"
            problems.append(
                (f"{name}.from", f"no variant {variant.source!r}{nearest}; {there_are}")
            )
        elif _in_circle(name, variants):
            problems.append((f"{name}.from", "the chain comes back to itself"))
        elif message := _mismatch(variant, variants, trained=trained):
            problems.append((f"{name}.{variant.technique}", message))
    return problems


def _in_circle(name: str, variants: dict[str, VariantBase]) -> bool:
    seen = {name}
    current = variants[name].source
    while current in variants:
        if current in seen:
            return True
        seen.add(current)
        current = variants[current].source
    return False


def _mismatch(
    variant: VariantBase, variants: dict[str, VariantBase], *, trained: bool
) -> str | None:
    if variant.source == ORIGINAL:
        made = "keras" if trained else "saved_model"
    else:
        made = variants[variant.source].produces
    if made in variant.consumes or (made == "keras" and "saved_model" in variant.consumes):
        return None
    if made == "saved_model" and variant.consumes == ("keras",):
        return (
            f"{variant.technique} needs a Keras model, but this spec imports a SavedModel; "
            "use a definition, or a technique that works on a SavedModel"
        )
    wanted = " or ".join(variant.consumes)
    return (
        f"{variant.technique} cannot work on {variant.source!r}, whose result is {made}; "
        f"it takes {wanted}"
    )
