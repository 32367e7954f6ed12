"""Layers and operations that a spec names, held against those of a converted graph."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def layer_in(path: Sequence[str]) -> str:
    """The layer in an operation's path, as far as that tells: <model>/<layer>/<scope>/<operation>.

    Scopes within a layer are functions of TensorFlow, which are written with capitals as a rule:
    hidden/Gelu/mul. Where a model has no layers, the operation's own name stands for one.
    """
    *scopes, operation = path
    named = [each for each in scopes if not each[:1].isupper()]
    return (named or scopes or [operation])[-1]


def unknown_name(
    name: str, what: str, layers: Iterable[str], kinds: Iterable[str], *, subject: str
) -> TerminalError:
    """The error for a name that means nothing in a graph, with the nearest one that does.

    Args:
        name: As the spec has it.
        what: Whose graph it is: variant and format.
        layers: All that could be named, in the order in which they run, with repetitions.
        kinds: The kinds of the graph's operations.
        subject: The field.
    """
    known, kinds = list(dict.fromkeys(layers)), sorted(set(kinds))
    near = get_close_matches(name, [*known, *kinds], n=1, cutoff=0.4)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    return TerminalError(
        f"{what} graph has no layer or operation {name!r}{guess}",
        hint=f"name layers of {', '.join(known)}, or operations of {', '.join(kinds)}",
        subject=subject,
    )
