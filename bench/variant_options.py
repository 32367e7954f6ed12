"""The options that bench/variants.py measures: one chain of techniques each."""

from __future__ import annotations

from typing import Any, get_args

from slipway.modelling.lite_recipes import Recipe

TRAINED = ("pruned", "distilled", "quantized")
CONVERSIONS: dict[str, dict[str, Any]] = {
    "lite": {"tflite": {"precision": "float32"}},
    "lite_dynamic": {"tflite": {"optimization": "DEFAULT"}},
    "lite_float16": {"tflite": {"precision": "float16"}},
    "lite_int8": {"tflite": {"precision": "int8"}},
    "lite_int8_integer_io": {"tflite": {"precision": "int8", "integer_io": True}},
    "lite_int8_per_tensor": {"tflite": {"precision": "int8", "per_channel": False}},
    "lite_int8_mixed": {"tflite": {"precision": "int8", "keep_float": ["SOFTMAX"]}},
    "lite_int16x8": {"tflite": {"precision": "int16x8"}},
    **{f"recipe_{name}": {"tflite": {"recipe": name}} for name in get_args(Recipe)},
    "lite_select_tf_ops": {"tflite": {"select_tf_ops": True}},
    "cast_float16": {"cast": {"precision": "float16"}},
    "cast_bfloat16": {"cast": {"precision": "bfloat16"}},
    "onnx": {"onnx": {}},
    "onnx_not_simplified": {"onnx": {"simplify": False}},
    "onnx_float16": {"onnx": {"precision": "float16"}},
    "onnx_int8": {"onnx": {"precision": "int8"}},
    "onnx_int8_per_tensor": {"onnx": {"precision": "int8", "per_channel": False}},
}
