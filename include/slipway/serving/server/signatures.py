"""What a loaded version promises: its signatures, whatever runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from slipway.serving.server.status import StatusError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class TensorSpec:
    """One named input or output.

    Args:
        dtype: numpy's name of the type (``float32``), or ``string`` for bytes.
        shape: Sizes, -1 where any size will do; None where even the rank is open.
    """

    dtype: str
    shape: tuple[int, ...] | None

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape may be given."""
        if self.shape is None:
            return True
        pairs = zip(self.shape, shape, strict=False)
        return len(shape) == len(self.shape) and all(want in (-1, got) for want, got in pairs)


@dataclass(frozen=True)
class Signature:
    """Named inputs and outputs, in the order in which the backend takes them."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


class Servable(Protocol):
    """A version in memory. ``run`` may be called by many threads at once."""

    signatures: Mapping[str, Signature]
    runs_graph: bool

    def run(self, signature: str, inputs: Arrays) -> Arrays:
        """Answers one request; arrays of bytes have dtype object.

        Raises:
            StatusError: The runtime refused the inputs, or took longer than the timeout.
        """

    def metadata(self) -> dict[str, Any]:
        """The SignatureDefs by name, in protobuf's JSON form with the proto's field names."""

    def close(self) -> None:
        """Frees the memory. No call of ``run`` is under way, none follows."""


def find_signature(servable: Servable, name: str) -> Signature:
    """The signature of this name.

    Raises:
        StatusError: INVALID_ARGUMENT, there is none.
    """
    found = servable.signatures.get(name)
    if found is None:
        raise StatusError(
            "INVALID_ARGUMENT", f'Serving signature name: "{name}" not found in signature def'
        )
    return found
