"""What cannot be converted to ONNX is told by operation, layer and way out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def exported(folder: Path, apply: Callable[[Any], Any], **options: Any) -> Any:
    """A SavedModel of one function of `features`, [?, 3], named `tail`, as ONNX."""
    import tensorflow as tf

    from slipway.modelling import saved_model
    from slipway.modelling.onnx_export import export

    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "features")])
    def serve(features: Any) -> dict[str, Any]:
        with tf.name_scope("tail"):
            return {"answer": apply(features)}

    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    signature = saved_model.choose_signature("tried", folder, None)
    return export("tried", folder, signature, **{"opset": 17, **options})


def lgamma(features: Any) -> Any:
    import tensorflow as tf

    return tf.math.lgamma(features)


def scatter(features: Any) -> Any:
    import tensorflow as tf

    return tf.tensor_scatter_nd_add(features, [[0]], [[1.0, 2.0, 3.0]])


def roll(features: Any) -> Any:
    import tensorflow as tf

    return tf.roll(features, 1, tf.cast(features[0, 0], tf.int32))


def test_an_operation_without_a_form_in_onnx_is_named_with_its_layer_and_the_ways_out(
    tmp_path: Path,
) -> None:
    with pytest.raises(TerminalError, match=r"tried: .* cannot express Lgamma, in the layer tail"):
        exported(tmp_path, lgamma)


def test_an_operation_of_a_later_opset_names_that_opset(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="opset 13 cannot express TensorScatterAdd") as caught:
        exported(tmp_path, scatter, opset=13)
    assert "set onnx.opset to 16 or above" in caught.value.hint
    assert exported(tmp_path / "newer", scatter, opset=16).opset_import[0].version == 16


def test_an_operation_in_a_form_that_onnx_lacks_is_named_with_the_exporters_reason(
    tmp_path: Path,
) -> None:
    with pytest.raises(TerminalError, match=r"Roll, in the layer tail.*axis is const") as caught:
        exported(tmp_path, roll)
    assert "tf_trt" in caught.value.hint


@pytest.mark.parametrize("simplify", [True, False])
def test_the_batch_is_named_and_the_signature_is_written_down(
    tmp_path: Path, *, simplify: bool
) -> None:
    model = exported(tmp_path, lambda features: features * 2.0, simplify=simplify)
    for value in (*model.graph.input, *model.graph.output):
        sizes = value.type.tensor_type.shape.dim
        assert (sizes[0].dim_param, sizes[1].dim_value) == ("batch", 3)
    assert {each.key: each.value for each in model.metadata_props} == {
        "slipway.signature": "serving_default"
    }
