from __future__ import annotations

from pathlib import Path

import pytest

from slipway.definition import load_definition
from slipway.errors import TerminalError
from slipway.modelling import export, keras, lite, lite_file, saved_model
from support.definition_text import written
from support.techniques import TINY


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    definition = load_definition(TINY)
    model = keras.build(definition, "build_model")
    folder = tmp_path_factory.mktemp("exported") / "saved_model"
    export.export_keras(
        model,
        folder,
        inputs=export.signature_inputs(model, definition),
        outputs=("classes",),
        warmup=definition.load_data("validation"),
        name="tiny",
    )
    return folder


def test_only_the_serving_signature_is_exported_with_names_and_a_free_batch(
    exported: Path,
) -> None:
    found = saved_model.read_signatures(exported)
    assert list(found) == ["serving_default"]
    signature = found["serving_default"]
    assert saved_model.described(signature.inputs) == {
        "features": {"dtype": "float32", "shape": [None, 4]}
    }
    assert saved_model.described(signature.outputs) == {
        "classes": {"dtype": "float32", "shape": [None, 3]}
    }


def test_the_exported_graph_answers_as_the_model(exported: Path) -> None:
    import numpy as np
    import tensorflow as tf

    loaded = tf.saved_model.load(str(exported))
    features = load_definition(TINY).load_data("test").inputs["features"]
    answers = loaded.signatures["serving_default"](features=tf.constant(features))["classes"]
    assert answers.shape == (len(features), 3)
    assert np.allclose(answers.numpy().sum(axis=1), 1.0, atol=1e-5)


def test_warmup_requests_are_predict_logs_that_the_model_can_answer(exported: Path) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    file = exported / "assets.extra" / "tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(file))
    ]
    requests = [log.predict_log.request for log in logs]
    batches = [tf.make_ndarray(request.inputs["features"]).shape for request in requests]
    assert batches == [(1, 4), (8, 4)]
    assert {request.model_spec.signature_name for request in requests} == {"serving_default"}


def test_nothing_random_is_in_the_folder(exported: Path) -> None:
    assert not (exported / "fingerprint.pb").exists()


def test_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    text = TINY.read_text("utf-8") + (
        "\nimport tensorflow as tf\n"
        "SIGNATURE_INPUTS = {'features': tf.TensorSpec([1, 4], tf.float32)}\n"
    )
    definition = written(tmp_path, text)
    model = keras.build(definition, "build_model")
    with pytest.raises(TerminalError, match=r"'features'.*first dimension must be None"):
        export.signature_inputs(model, definition)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_a_file_that_a_server_would_miss_is_named(
    exported: Path, tmp_path: Path, name: str
) -> None:
    import shutil

    copy = Path(shutil.copytree(exported, tmp_path / "copy"))
    (copy / name).unlink()
    with pytest.raises(TerminalError, match=f"has no {name}"):
        saved_model.read_signatures(copy)


def test_what_is_no_savedmodel_is_refused(exported: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(exported, tmp_path / "copy"))
    (copy / "saved_model.pb").write_bytes(b"not a protocol buffer")
    with pytest.raises(TerminalError, match="is not a SavedModel"):
        saved_model.read_signatures(copy)


def test_an_operation_that_tflite_lacks_is_named(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()

    def find(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"found": tf.strings.regex_full_match(text, "a+")}

    signature = tf.function(find).get_concrete_function(tf.TensorSpec([None], tf.string, "text"))
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": signature})
    with pytest.raises(TerminalError, match=r"cannot run tf\.StaticRegexFullMatch") as caught:
        lite.convert("tried", tmp_path, ["serving_default"], lite.Options())
    assert caught.value.subject == "tf.StaticRegexFullMatch"


def test_a_converted_model_says_what_is_in_it(exported: Path, tmp_path: Path) -> None:
    conversion = lite.convert("tried", exported, ["serving_default"], lite.Options())
    file = tmp_path / "model.tflite"
    file.write_bytes(conversion.content)
    signature = saved_model.choose_signature("tried", exported, "serving_default")
    found = lite_file.describe("tried", file, {"serving_default": signature})
    assert found["inputs"] == {"features": {"dtype": "float32", "shape": [-1, 4]}}
    assert found["operations"]["FULLY_CONNECTED"] == 2
    assert found["operation_count"] == sum(found["operations"].values())
    assert conversion.warnings == []
