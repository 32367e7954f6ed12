"""Run a variant in this process: a SavedModel or TFLite signature, float in and float out."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from slipway.errors import TerminalError
from slipway.evaluation.signatures import dequantize, load_signature, quantize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from slipway.contracts import ArtifactRef
    from slipway.evaluation.facts import TensorFacts
    from slipway.evaluation.signatures import Signature

    Arrays = Mapping[str, np.ndarray]

_BATCH = 256


class Runner:
    """A variant that can be asked.

    Args:
        variant: Its name, for messages.
        signature: What was loaded.
    """

    def __init__(self, variant: str, signature: Signature) -> None:
        self.variant = variant
        self.signature = signature

    @property
    def batch(self) -> int | None:
        """Examples of one call; None if any number will do."""
        sizes = {facts.shape[0] for facts in self.signature.inputs.values() if facts.shape}
        fixed = sizes - {-1}
        return min(fixed) if fixed else None

    def predict(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Answer examples.

        Args:
            inputs: By name, each of shape [examples, ...], as the model definition gives them.

        Returns:
            Outputs by name, each of shape [examples, ...]; quantized ones as float32.

        Raises:
            TerminalError: names or shapes do not fit, it cannot run, or an output is not finite.
        """
        import numpy as np

        encoded = self.encode(inputs)
        count = len(next(iter(encoded.values())))
        size = self.batch or _BATCH
        parts = [
            self.answer({name: values[start : start + size] for name, values in encoded.items()})
            for start in range(0, count, size)
        ]
        raw = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return self._finite(self.decode(raw))

    def answer(self, encoded: Arrays) -> dict[str, np.ndarray]:
        """Answer encoded inputs of at most one batch in the variant's own types.

        Raises:
            TerminalError: it cannot run, or the outputs have another first dimension.
        """
        count = len(next(iter(encoded.values())))
        try:
            raw = self.signature.call(self._padded(encoded, count))
        except Exception as error:
            raise TerminalError(
                f"{self.variant}: running it on {count} examples raised "
                f"{type(error).__name__}: {_first_line(error)}",
                hint="run it by hand on these inputs; an operator may be missing where it runs",
                subject=self.variant,
            ) from error
        return {name: self._checked(name, values, count) for name, values in raw.items()}

    def encode(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Inputs under the signature's names and in its types, quantized where it wants integers.

        Raises:
            TerminalError: a name, shape or type does not fit.
        """
        wanted = self.signature.inputs
        names = match_names(wanted, inputs, f"{self.variant}: input", "load_data gives")
        return {
            name: self._encoded(name, facts, inputs[names[name]]) for name, facts in wanted.items()
        }

    def decode(self, raw: Arrays) -> dict[str, np.ndarray]:
        """Outputs with quantized integers turned into the numbers that they stand for."""
        return {
            name: dequantize(values, self.signature.outputs[name]) for name, values in raw.items()
        }

    def _encoded(self, name: str, facts: TensorFacts, values: np.ndarray) -> np.ndarray:
        import numpy as np

        values = np.asarray(values)
        fits = len(values.shape) == len(facts.shape) and all(
            want in {-1, got} for want, got in zip(facts.shape[1:], values.shape[1:], strict=True)
        )
        if not fits:
            raise TerminalError(
                f"{self.variant}: input {name} wants shape {_shape(facts.shape)}, "
                f"load_data gives {list(values.shape)}",
                hint="correct load_data or the signature; -1 stands for any size",
                subject=name,
            )
        if facts.scale:
            return quantize(values, facts)
        return self._cast(name, facts.dtype, values)

    def _cast(self, name: str, dtype: str, values: np.ndarray) -> np.ndarray:
        import numpy as np

        texts = values.dtype.kind in "OSU"
        if dtype == "string" and texts:
            flat = [_bytes(value) for value in values.ravel()]
            return np.array(flat, dtype=object).reshape(values.shape)
        if texts or dtype == "string" or (values.dtype.kind == "f" and dtype.startswith("int")):
            raise TerminalError(
                f"{self.variant}: input {name} is {dtype}, load_data gives {values.dtype}",
                hint="give load_data's array the signature's type",
                subject=name,
            )
        return values.astype(dtype)

    def _padded(self, encoded: Arrays, count: int) -> Arrays:
        import numpy as np

        missing = (self.batch or count) - count
        if not missing:
            return encoded
        return {
            name: np.concatenate([values, np.repeat(values[-1:], missing, axis=0)])
            for name, values in encoded.items()
        }

    def _checked(self, name: str, values: np.ndarray, count: int) -> np.ndarray:
        if values.ndim == 0 or len(values) < count or (len(values) > count and not self.batch):
            raise TerminalError(
                f"{self.variant}: output {name} has shape {list(values.shape)} for {count} "
                "examples",
                hint="the first dimension of every output must be the example",
                subject=name,
            )
        return values[:count]

    def _finite(self, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import numpy as np

        for name, values in outputs.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                bad = int((~np.isfinite(values.reshape(len(values), -1))).any(axis=1).sum())
                raise TerminalError(
                    f"{self.variant}: output {name} is NaN or infinite for {bad} of {len(values)} "
                    "examples of the test split",
                    hint="look at the training loss of this variant, and at the inputs' range",
                    subject=name,
                )
        return outputs


def open_runner(artifact: ArtifactRef, signature: str, variant: str) -> Runner:
    """Load a variant.

    Raises:
        TerminalError: it cannot be loaded, or has no such signature.
    """
    try:
        return Runner(variant, load_signature(artifact, signature, variant))
    except TerminalError:
        raise
    except Exception as error:
        raise TerminalError(
            f"{variant}: {artifact.servable} cannot be loaded: {_first_line(error)}",
            hint="clear the step that made it; if it was made so, an operator is missing here",
            subject=variant,
        ) from error


def match_names(
    wanted: Iterable[str], given: Iterable[str], what: str, source: str
) -> dict[str, str]:
    """Which given name belongs to each wanted one.

    Names must be the same; where there is one of each they belong together, as TFLite conversion
    may rename them.

    Raises:
        TerminalError: one is missing; the nearest given name is told.
    """
    wanted, given = list(wanted), list(given)
    if len(wanted) == len(given) == 1:
        return {wanted[0]: given[0]}
    for name in wanted:
        if name not in given:
            near = get_close_matches(name, given, n=1)
            guess = f"did you mean {near[0]}? " if near else ""
            raise TerminalError(
                f"{what} {name} is missing",
                hint=f"{guess}{source} {', '.join(given)}",
                subject=name,
            )
    return {name: name for name in wanted}


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _shape(sizes: tuple[int, ...]) -> list[int]:
    return [-1, *sizes[1:]]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
