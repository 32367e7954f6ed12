"""The two backends without HTTP: what they promise, and that both promise it alike."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from slipway.serving.server.flags import ServerFlags
from slipway.serving.server.saved_model import SavedModelServable
from slipway.serving.server.signatures import Signature, TensorSpec
from slipway.serving.server.status import StatusError
from slipway.serving.server.tflite import TfliteServable

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.serving.server.signatures import Servable

PLAIN = Signature(
    {"x": TensorSpec("float32", (-1, 2))},
    {"y": TensorSpec("float32", (-1, 2))},
)


@pytest.fixture(params=["saved_model", "tflite"])
def servable(request: pytest.FixtureRequest, models: Path) -> Servable:
    if request.param == "tflite":
        return TfliteServable(models / "times2.tflite", ServerFlags(num_tflite_pools=2))
    return SavedModelServable(models / "times2", ServerFlags())


def _ones(rows: int) -> dict[str, Any]:
    import numpy as np

    return {"x": np.ones((rows, 2), np.float32)}


def test_signatures_and_metadata_agree(servable: Servable) -> None:
    assert dict(servable.signatures) == {"serving_default": PLAIN}
    entry = servable.metadata()["serving_default"]
    assert entry["method_name"] == "tensorflow/serving/predict"
    assert entry["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in entry["outputs"]["y"]["tensor_shape"]["dim"]] == ["-1", "2"]
    servable.close()


def test_many_threads_and_batch_sizes_at_once_do_not_mix(servable: Servable) -> None:
    problems: list[Any] = []

    def ask(rows: int) -> None:
        for _ in range(50):
            found = servable.run("serving_default", _ones(rows))["y"]
            if found.tolist() != [[2.0, 2.0]] * rows:
                problems.append(found)

    threads = [threading.Thread(target=ask, args=(rows,)) for rows in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    servable.close()


def test_a_model_converted_without_signatures_serves_by_its_tensors_names(
    models: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(models / "times3"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [loaded.signatures["serving_default"]]
    )
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    servable = TfliteServable(tmp_path / "model.tflite", ServerFlags())
    (signature,) = servable.signatures.values()
    (name,) = signature.inputs
    (found,) = servable.run("serving_default", {name: _ones(3)["x"]}).values()
    assert found.tolist() == [[3.0, 3.0]] * 3
    servable.close()


def test_int8_models_take_and_give_int8(models: Path, tmp_path: Path) -> None:
    import numpy as np
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(models / "times2"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: [_ones(1), {"x": -_ones(1)["x"]}]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (tmp_path / "model.tflite").write_bytes(converter.convert())
    servable = TfliteServable(tmp_path / "model.tflite", ServerFlags())
    assert servable.signatures["serving_default"].inputs["x"].dtype == "int8"
    assert servable.metadata()["serving_default"]["inputs"]["x"]["dtype"] == "DT_INT8"
    found = servable.run("serving_default", {"x": np.full((2, 2), 100, np.int8)})["y"]
    assert found.dtype == np.int8
    servable.close()


def test_a_folder_without_a_saved_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StatusError, match="NOT_FOUND: Could not find SavedModel"):
        SavedModelServable(tmp_path, ServerFlags())
