"""Post-training quantization of a float TFLite file by LiteRT's own quantizer, by recipe."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Dataset = Callable[[], Iterator[tuple[str, dict[str, Any]]]]

Recipe = Literal[
    "dynamic_wi8_afp32",
    "dynamic_wi4_afp32",
    "weight_only_wi8_afp32",
    "weight_only_wi4_afp32",
    "static_wi8_ai8",
    "static_wi8_ai16",
]


def is_calibrated(recipe: str) -> bool:
    """Whether a recipe quantizes what flows between the layers too, which needs examples."""
    return recipe.startswith("static")


def quantize(
    content: bytes,
    recipe: Recipe,
    *,
    integer_io: bool,
    float_tensors: Sequence[str],
    dataset: Dataset | None,
) -> bytes:
    """Quantize a float TFLite file.

    Args:
        content: The file.
        recipe: A recipe of ai-edge-quantizer, by the name that it has there.
        integer_io: Whether inputs and outputs are integers too; static recipes only.
        float_tensors: Names of the tensors whose operations stay float.
        dataset: Single examples by signature, for static recipes.
    """
    from ai_edge_quantizer import quantizer

    recipes = _recipe(recipe, float_tensors, integer_io=integer_io)
    with _silent():
        ranges = _ranges(content, recipes, dataset) if dataset is not None else None
        work = quantizer.Quantizer(bytearray(content), recipes.get_quantization_recipe())
        result = work.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return _with_dynamic_sizes(bytes(result.quantized_model), content)


def _recipe(recipe: Recipe, float_tensors: Sequence[str], *, integer_io: bool) -> Any:
    from ai_edge_quantizer import recipe as recipes
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    found = RecipeManager()
    found.load_quantization_recipe(getattr(recipes, recipe)())
    # The quantizer joins the names of an operation's outputs, each with a semicolon behind it.
    exempt = [
        (f"(^|;){re.escape(name)}(;|$)", TFLOperationName.ALL_SUPPORTED) for name in float_tensors
    ]
    if is_calibrated(recipe) and not integer_io:
        exempt += [(".*", TFLOperationName.INPUT), (".*", TFLOperationName.OUTPUT)]
    for names, operation in exempt:
        found.add_quantization_config(names, operation, algorithm_key="no_quantize")
    return found


def _ranges(content: bytes, recipes: Any, dataset: Dataset) -> Any:
    """The range of every tensor: its least and its largest value over all examples.

    The quantizer's own choice, a moving average of the examples' ranges, would cut off the half.
    """
    from ai_edge_quantizer.calibrator import Calibrator
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    by_signature: dict[str, list[dict[str, Any]]] = {}
    for signature, inputs in dataset():
        by_signature.setdefault(signature, []).append(inputs)
    work = Calibrator(bytearray(content), num_threads=1, qsv_update_func=min_max_update)
    work.calibrate(by_signature, recipes)
    return work.get_model_qsvs()


def _with_dynamic_sizes(quantized: bytes, original: bytes) -> bytes:
    """The file with the sizes of its inputs and outputs as they were.

    The quantizer puts a tensor of its own before a float input and behind a float output, and
    does not tell that its batch is of any size.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    ours = flatbuffer_utils.read_model_from_bytearray(bytearray(quantized))
    theirs = flatbuffer_utils.read_model_from_bytearray(bytearray(original))
    before = {each.signatureKey: each for each in theirs.signatureDefs}
    for signature in ours.signatureDefs:
        old = before[signature.signatureKey]
        pairs = ((signature.inputs, old.inputs), (signature.outputs, old.outputs))
        for now, then in pairs:
            known = {each.name: each.tensorIndex for each in then}
            for each in now:
                tensor = ours.subgraphs[signature.subgraphIndex].tensors[each.tensorIndex]
                source = theirs.subgraphs[old.subgraphIndex].tensors[known[each.name]]
                tensor.shapeSignature = source.shapeSignature
    return bytes(flatbuffer_utils.convert_object_to_bytearray(ours))


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without its progress bars, which no log can hold."""
    with (
        Path(os.devnull).open("w", encoding="utf-8") as nothing,
        contextlib.redirect_stderr(nothing),
    ):
        yield
