"""Convert a SavedModel to TFLite."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveInt, model_validator

from slipway.errors import TerminalError
from slipway.modelling import keras, lite, lite_errors, lite_file, saved_model
from slipway.modelling.calibration import load_calibration
from slipway.modelling.lite import INTEGER, Optimization, Precision
from slipway.modelling.lite_file import FLEX, unrunnable
from slipway.modelling.lite_graph import operation_kinds
from slipway.modelling.lite_recipes import Recipe, is_calibrated
from slipway.spec.base import StepConfig
from slipway.steps.base import StepOutput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.modelling.calibration import Calibration
    from slipway.modelling.lite import Conversion
    from slipway.modelling.lite_recipes import Dataset
    from slipway.modelling.saved_model import Signature
    from slipway.steps.base import StepContext

# Of the calibration's examples, those that the float and the quantized file are compared on.
_COMPARED = 16


class TFLiteConfig(StepConfig):
    """Conversion to TFLite."""

    precision: Precision = Field(
        "float32",
        description="float32: as trained; dynamic_range: int8 weights; float16: half-size weights; "
        "int8 and int16x8: calibrated with the representative dataset.",
    )
    optimization: Optimization | None = Field(
        None,
        description="The converter's own name: DEFAULT, OPTIMIZE_FOR_SIZE, OPTIMIZE_FOR_LATENCY. "
        "All three do the same today; alone they mean precision dynamic_range.",
    )
    recipe: Recipe | None = Field(
        None,
        description="Quantize by LiteRT's own quantizer, by one of its recipes, in place of "
        "precision: wi8 and wi4 are the weights' bits; ai8 and ai16 those of what flows between "
        "the layers; static recipes are calibrated.",
    )
    integer_io: bool = Field(
        False,
        description="int8, int16x8 and static recipes: inputs and outputs are integers too.",
    )
    per_channel: bool = Field(
        True,
        description="Each channel of a weight has a scale of its own; false: one for the tensor.",
    )
    keep_float: tuple[str, ...] = Field(
        (),
        description="int8 and recipes: layers, or kinds of operations such as SOFTMAX, that stay "
        "float32 (mixed precision).",
    )
    select_tf_ops: bool = Field(
        False,
        description="TensorFlow's own operations stand in for those that TFLite lacks; only a "
        "runtime that links them can run the file.",
    )
    calibration_examples: PositiveInt = Field(
        200, description="Examples of the training split that calibrate int8 and int16x8."
    )

    signature: str | None = Field(
        None,
        description="Signature to convert; default: serving_default, or the only one there is.",
    )
    more_signatures: tuple[str, ...] = Field(
        (), description="Further signatures that the file keeps, under their own names."
    )

    @model_validator(mode="before")
    @classmethod
    def _optimization_alone_is_dynamic_range(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("optimization") and "precision" not in data:
            return {**data, "precision": "dynamic_range"}
        return data

    @model_validator(mode="after")
    def _options_agree(self) -> TFLiteConfig:
        problem = _contradiction(self)
        if problem is not None:
            raise ValueError(problem)
        return self

    def options(self) -> lite.Options:
        """The options of the conversion itself."""
        return lite.Options(
            precision=self.precision,
            optimization=self.optimization or "DEFAULT",
            recipe=self.recipe,
            integer_io=self.integer_io,
            per_channel=self.per_channel,
            keep_float=self.keep_float,
            select_tf_ops=self.select_tf_ops,
        )


def _contradiction(config: TFLiteConfig) -> str | None:
    shown = config.recipe or config.precision
    integers = is_calibrated(config.recipe) if config.recipe else config.precision in INTEGER
    problems = {
        f"give precision {config.precision} or recipe {config.recipe}, not both": bool(
            config.recipe and config.precision != "float32"
        ),
        "LiteRT's recipes are per channel; per_channel: false needs precision int8": bool(
            config.recipe and not config.per_channel
        ),
        f"optimization {config.optimization} leaves nothing float32; choose a precision": bool(
            config.optimization and config.precision == "float32"
        ),
        f"integer_io needs precision int8 or int16x8, or a static recipe, not {shown}": (
            config.integer_io and not integers
        ),
        f"keep_float needs precision int8 or a recipe, not {shown}": bool(
            config.keep_float and not config.recipe and config.precision != "int8"
        ),
        f"per_channel: false needs quantized weights, not {shown}": (
            not config.per_channel and config.precision in {"float32", "float16"}
        ),
    }
    return next((problem for problem, wrong in problems.items() if wrong), None)


def run(context: StepContext) -> StepOutput:
    """Convert the source's SavedModel to tflite/model.tflite.

    The file keeps the signatures, their names and their dynamic sizes. int8 and int16x8 use
    integers throughout, but for what `keep_float` names: an operation that has no integer form is
    an error, never a silent float. The details name the layers that lose most.

    Raises:
        TerminalError: if the data does not fit the signature, or an operation cannot be
            converted, naming it and, where the converter knows it, the layer.
    """
    config = context.config(TFLiteConfig)
    source = context.input("source")
    _require_convertible(context, config)
    signatures = _signatures(context, config)
    options = config.options()
    calibration = _calibration(context, config, signatures) if options.is_calibrated else None
    context.say(f"converting to {config.recipe or config.precision}")
    dataset = _dataset(calibration, signatures) if calibration else None
    conversion = lite.convert(context.variant, source.servable, list(signatures), options, dataset)
    file = context.folder / "tflite" / "model.tflite"
    file.parent.mkdir()
    file.write_bytes(conversion.content)
    context.say("running the converted file: a crash here is of LiteRT's kernels")
    details: dict[str, Any] = {
        "signature": next(iter(signatures)),
        "precision": config.recipe or config.precision,
        "warnings": conversion.warnings,
        "signatures_left_out": _left_out(context, signatures),
        **lite_file.describe(context.variant, file, signatures, integer_io=config.integer_io),
    }
    if calibration is not None:
        details["calibration_remarks"] = "; ".join(calibration.remarks)
        details["layer_errors"] = _layer_errors(context, conversion, signatures, calibration)
    selected = details["selected_operations"]
    if selected:
        names = ", ".join(selected)
        context.say(f"warning: {names} run only where TensorFlow's own operations are linked")
    metrics = {
        "operations": float(details["operation_count"]),
        "selected_operations": float(len(selected)),
    }
    return StepOutput("tflite", metrics, details)


def _require_convertible(context: StepContext, config: TFLiteConfig) -> None:
    """Refuse what a model that was trained with 8-bit quantization cannot become."""
    if not keras.is_quantized(context.input("source").path):
        return
    refused = {
        "tflite.precision": ("int16x8", config.precision == "int16x8"),
        "tflite.recipe": (config.recipe, config.recipe is not None),
        "tflite.keep_float": ("mixed precision", bool(config.keep_float)),
    }
    for subject, (what, wanted) in refused.items():
        if wanted:
            raise TerminalError(
                f"{context.variant}: {what} cannot be made from a model that was trained with "
                "8-bit quantization",
                hint="use precision int8 (quantize takes the layers that it is to work on), or "
                "convert the variant before quantize",
                subject=subject,
            )


def _signatures(context: StepContext, config: TFLiteConfig) -> dict[str, Signature]:
    """The signatures to convert by name, the served one first."""
    folder = context.input("source").servable
    names = (config.signature, *config.more_signatures)
    found = [saved_model.choose_signature(context.variant, folder, name) for name in names]
    return {signature.name: signature for signature in found}


def _left_out(context: StepContext, signatures: Mapping[str, Signature]) -> list[str]:
    """The SavedModel's signatures that the file lacks; told in the log too."""
    found = saved_model.read_signatures(context.input("source").servable)
    missing = [name for name in found if name not in signatures]
    if missing:
        context.say(
            f"warning: the file lacks {', '.join(missing)} of the SavedModel's signatures; "
            "more_signatures keeps those that clients ask"
        )
    return missing


def _calibration(
    context: StepContext, config: TFLiteConfig, signatures: Mapping[str, Signature]
) -> Calibration:
    first, *others = signatures.values()
    text = [name for name, spec in first.inputs.items() if spec.dtype.name == "string"]
    if text:
        raise TerminalError(
            f"{context.variant}: the input {text[0]!r} is text, and "
            f"{config.recipe or config.precision} needs every tensor as integers",
            hint="use precision float32, dynamic_range or float16 for this model",
            subject=text[0],
        )
    for other in others:
        unknown = [name for name in other.inputs if name not in first.inputs]
        if unknown:
            raise TerminalError(
                f"{context.variant}: the signature {other.name!r} cannot be calibrated: there is "
                f"no data for its input {unknown[0]!r}",
                hint=f"calibration gives {', '.join(first.inputs)}; leave the signature out of "
                "more_signatures, or use a precision without calibration",
                subject="tflite.more_signatures",
            )
    found = load_calibration(
        context.variant, context.definition(), first, config.calibration_examples
    )
    context.say(f"calibrating with {len(found)} examples")
    for remark in found.remarks:
        context.say(f"warning: {remark}")
    return found


def _dataset(calibration: Calibration, signatures: Mapping[str, Signature]) -> Dataset:
    """The representative dataset: single examples, for each signature."""

    def dataset() -> Iterator[tuple[str, dict[str, Any]]]:
        for name, signature in signatures.items():
            for inputs in calibration.single(signature.inputs):
                yield name, inputs

    return dataset


def _layer_errors(
    context: StepContext,
    conversion: Conversion,
    signatures: Mapping[str, Signature],
    calibration: Calibration,
) -> list[dict[str, Any]]:
    """The layers that lose most in the conversion, worst first; told in the log too."""
    if conversion.float_content is None or keras.is_quantized(context.input("source").path):
        return []  # trained with quantization: the float graph has other tensors
    if any(kind.startswith(FLEX) for kind in operation_kinds(conversion.content)):
        return []  # LiteRT cannot run it
    name, signature = next(iter(signatures.items()))
    examples = islice(calibration.single(signature.inputs), _COMPARED)
    try:
        found = lite_errors.find_layer_errors(
            conversion.float_content, conversion.content, name, examples
        )
    except RuntimeError as error:
        # A delegate may take what these refuse, but no server is bound to have one.
        raise unrunnable(context.variant, "LiteRT without a delegate", error) from None
    errors = [error.as_details() for error in found]
    if errors:
        context.say(lite_errors.summary(errors))
    return errors
