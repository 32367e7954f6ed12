"""Holds what is known against what cannot work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.doctor.facts import Case
from slipway.doctor.knowledge import ENTRIES
from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.doctor.facts import Facts


@dataclass(frozen=True)
class Finding:
    """Something that cannot work.

    Attributes:
        entry: Id of the entry of `slipway.doctor.knowledge`.
        variant: Which variant; "" if the spec as a whole.
        blocks: Whether the build must not begin: what is wrong is the spec, or a required variant.
        message: What cannot work with what, and why.
        hint: What to do.
        sources: Where this is known from.
    """

    entry: str
    variant: str
    blocks: bool
    message: str
    hint: str
    sources: tuple[str, ...]

    def __str__(self) -> str:
        subject = f"variants.{self.variant}: " if self.variant else ""
        return f"{subject}{self.message} ({self.entry})"


def refuse_blocked(model: str, findings: Sequence[Finding]) -> None:
    """Let nothing begin that cannot end well.

    Raises:
        TerminalError: Something blocks the build; the details have all of it.
    """
    blocking = [one for one in findings if one.blocks]
    if blocking:
        raise TerminalError(
            f"{model} cannot be built as its spec says: {'; '.join(map(str, blocking))}",
            hint="; ".join(one.hint for one in blocking),
            subject=blocking[0].variant or model,
            details={"findings": [one.entry for one in blocking]},
        )


def diagnose(facts: Facts) -> list[Finding]:
    """Everything that cannot work; what blocks comes first.

    A variant that is not required costs itself alone, and an entry may be no more than a warning.
    """
    cases = [Case(facts), *(Case(facts, name, v) for name, v in facts.spec.variants.items())]
    found = [
        Finding(
            entry=entry.id,
            variant=case.name,
            blocks=not entry.warning and (case.variant is None or case.variant.required),
            message=entry.why.format(**case.words()),
            hint=entry.instead.format(**case.words()),
            sources=entry.sources,
        )
        for case in cases
        for entry in ENTRIES
        if entry.of_variants == (case.variant is not None) and entry.when(case)
    ]
    return sorted(found, key=lambda one: not one.blocks)
