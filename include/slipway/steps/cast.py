"""Cast: keep a SavedModel's weights in 16 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, PositiveInt

from slipway.modelling import casting, saved_model
from slipway.modelling.casting import Half
from slipway.spec.base import StepConfig
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from slipway.steps.base import StepContext


class CastConfig(StepConfig):
    """Weights of 16 bits in a SavedModel, which TensorFlow Serving loads unchanged."""

    precision: Half = Field(
        "float16",
        description="float16: finer, up to 65504; bfloat16: coarser, with the range of float32.",
    )
    smallest_weight: PositiveInt = Field(
        64,
        description="Weights with fewer numbers stay float32: biases, and what scales the inputs.",
    )


def run(context: StepContext) -> StepOutput:
    """Write the source's SavedModel again, with the same signatures and with weights in 16 bits.

    Inputs, outputs and all that is computed stay float32. The file and the memory of the server
    become smaller; each call casts the weights again, which takes time.

    Raises:
        TerminalError: a weight is too large for the type, or none is large enough to be cast.
    """
    config = context.config(CastConfig)
    source = context.input("source").servable
    signatures = saved_model.read_signatures(source)
    context.say(f"casting weights to {config.precision}")
    cast = casting.cast_saved_model(
        context.variant,
        source,
        context.folder / "saved_model",
        signatures,
        half=config.precision,
        smallest=config.smallest_weight,
    )
    context.say(f"{cast.weights} weights cast, {cast.share:.1%} of all numbers")
    metrics = {
        "cast_weights": float(cast.weights),
        "cast_share": cast.share,
        "largest_cast_error": cast.largest_error,
    }
    details = {"precision": config.precision, "signatures": list(signatures)}
    return StepOutput("saved_model", metrics, details)
