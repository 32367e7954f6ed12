"""Float16, int8 and what each loses by layer, on a graph of two layers made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError
from slipway.modelling.calibration import Calibration
from slipway.modelling.onnx_errors import find_layer_errors, first_not_finite
from slipway.modelling.onnx_graph import layer_of, named_nodes, with_batch
from slipway.modelling.onnx_precision import to_float16, to_int8
from slipway.modelling.onnx_session import OnnxSession

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = 400  # so large that the quantizer keeps weights beside the file, if given a model


def graph(hidden_scale: float = 1.0) -> Any:
    """features [?, 4] -> net/hidden/MatMul [?, 16] -> net/classes/MatMul [?, 3].

    The first hidden unit is `hidden_scale` times as large as the others, and nothing reads it.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    hidden, classes = rng.normal(size=(4, UNITS)), rng.normal(size=(UNITS, 3))
    hidden[:, 0] *= hidden_scale
    classes[0] = 0.0
    weights = {"hidden_kernel": hidden, "classes_kernel": classes}
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node(
                    "MatMul", ["features", "hidden_kernel"], ["flow"], "net/hidden/MatMul"
                ),
                helper.make_node(
                    "MatMul", ["flow", "classes_kernel"], ["answer"], "net/classes/MatMul__3"
                ),
            ],
            "made_by_hand",
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 4])],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", 3])],
            [
                numpy_helper.from_array(values.astype(np.float32), name)
                for name, values in weights.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model


def calibration() -> Calibration:
    import numpy as np

    values = np.random.default_rng(2).normal(size=(120, 4)).astype(np.float32)
    return Calibration({"features": values}, ())


def int8(model: Any, keep_float: Sequence[str] = (), method: Any = "minmax") -> Any:
    return to_int8(
        "tried",
        model,
        calibration(),
        signature="serving_default",
        method=method,
        per_channel=True,
        keep_float=keep_float,
    )


def largest_difference(one: Any, other: Any) -> float:
    import numpy as np

    answers = [
        OnnxSession(model.SerializeToString()).run(calibration().examples)["answer"]
        for model in (one, other)
    ]
    return float(np.abs(answers[0] - answers[1]).max())


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_weights_are_integers_and_the_scale_is_symmetric(method: str) -> None:
    from onnx import TensorProto, numpy_helper

    made = int8(graph(), method=method)
    held = {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
    kernels = [values for name, values in held.items() if name.endswith("kernel_quantized")]
    assert [values.dtype.name for values in kernels] == ["int8", "int8"]
    assert min(values.min() for values in kernels) >= -127
    assert all(not values.any() for name, values in held.items() if name.endswith("zero_point"))
    assert all(
        each.data_type == TensorProto.FLOAT
        for each in made.graph.initializer
        if each.name.endswith("scale")
    )
    assert largest_difference(graph(), made) < 5.0  # of answers up to a hundred


def test_the_layer_that_loses_most_is_named_and_repaired_by_keeping_it_float() -> None:
    planted = graph(hidden_scale=1e4)
    spoiled = int8(planted)
    examples = list(calibration().single({"features": None}))[:16]
    [worst] = find_layer_errors(planted, spoiled, examples)
    assert worst["layer"] == "classes"  # whose input has the range that integers cannot bear
    assert worst["operation"] == "MatMul"
    assert worst["error"] > 0.5
    mixed = int8(planted, worst["keep_float"])
    assert find_layer_errors(planted, mixed, examples) == []
    assert largest_difference(planted, mixed) < 0.1 * largest_difference(planted, spoiled)
    assert sum(node.op_type == "QuantizeLinear" for node in mixed.graph.node) == 1


def test_float16_halves_the_weights_and_keeps_inputs_and_outputs() -> None:
    from onnx import TensorProto

    made = to_float16("tried", graph(), ())
    assert {each.data_type for each in made.graph.initializer} == {TensorProto.FLOAT16}
    session = OnnxSession(made.SerializeToString())
    assert session.inputs == {"features": ("float32", (-1, 4))}
    assert session.outputs == {"answer": ("float32", (-1, 3))}
    assert 0 < largest_difference(graph(), made) < 0.05


def test_what_float16_cannot_hold_is_refused_with_the_layer_unless_it_stays_float() -> None:
    large = graph(hidden_scale=1e6)
    with pytest.raises(TerminalError, match=r"up to 65504, and the layer hidden has") as caught:
        to_float16("tried", large, ())
    assert "keep_float: [hidden]" in caught.value.hint
    assert to_float16("tried", large, ["hidden"]).graph.initializer


def test_the_layer_that_overflows_is_found() -> None:
    made = to_float16("tried", graph(hidden_scale=3e4), ())
    assert first_not_finite(made, calibration().examples) == "hidden"
    assert first_not_finite(graph(), calibration().examples) is None


def test_a_fixed_batch_leaves_the_other_sizes_and_the_model_alone() -> None:
    model = graph()
    assert OnnxSession(with_batch(model, 8).SerializeToString()).inputs["features"][1] == (8, 4)
    assert with_batch(model, None) is model
    assert OnnxSession(model.SerializeToString()).inputs["features"][1] == (-1, 4)


@pytest.mark.parametrize(
    ("node", "layer"),
    [
        ("StatefulPartitionedCall/sequential/conv1/BiasAdd__6", "conv1"),
        ("StatefulPartitionedCall/model/sex_index/None_Lookup/LookupTableFindV2", "sex_index"),
        ("StatefulPartitionedCall/model/hidden/Gelu/mul_1", "hidden"),
        ("StatefulPartitionedCall/net/backbone/conv1/BatchNorm/FusedBatchNormV3", "conv1"),
        ("StatefulPartitionedCall/matmul_1", "matmul_1"),
        ("StatefulPartitionedCall", "StatefulPartitionedCall"),
    ],
)
def test_a_layer_is_read_from_the_nodes_name(node: str, layer: str) -> None:
    assert layer_of(node) == layer


def test_names_mean_layers_kinds_and_nodes() -> None:
    both = ["net/hidden/MatMul", "net/classes/MatMul__3"]
    assert named_nodes("tried", graph(), ["MatMul"]) == both
    assert named_nodes("tried", graph(), ["classes"]) == both[1:]
    assert named_nodes("tried", graph(), [both[0]]) == both[:1]
