"""The step validate, on real SavedModels and TFLite models and the real model server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from slipway.contracts import ArtifactRef
from slipway.errors import TerminalError
from slipway.evaluation.facts import Evaluation
from slipway.evaluation.golden import Golden
from slipway.steps import validate
from slipway.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.steps.base import StepOutput

CONFIG = {"metrics": ["accuracy", "log_loss"], "confidence": 0.95, "signature": "serving_default"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def original(workspace: Workspace) -> ArtifactRef:
    from support.tiny_variants import saved_model

    return saved_model(workspace)


def judged(
    workspace: Workspace,
    folder: Path,
    variant: ArtifactRef,
    original: ArtifactRef,
    config: dict[str, Any] = CONFIG,
    **definition: str,
) -> tuple[StepOutput, Evaluation, Golden]:
    from support import tiny_variants

    folder.mkdir(exist_ok=True)
    context = tiny_variants.context(
        workspace,
        folder / "out",
        step="validate",
        variant="candidate",
        config=config,
        definition=str(tiny_variants.definition(folder, **definition)),
        inputs={"variant": variant, "original": original},
    )
    output = validate.run(context)
    evaluation = (context.folder / "evaluation.json").read_text()
    golden = (context.folder / "golden.json").read_text()
    return (
        output,
        Evaluation.model_validate_json(evaluation),
        Golden.model_validate_json(golden),
    )


def test_the_original_agrees_with_itself_and_the_server(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    output, evaluation, golden = judged(workspace, tmp_path, original, original)
    accuracy = evaluation.metrics["accuracy"]
    assert accuracy.drop == 0
    assert accuracy.interval is not None
    assert accuracy.interval.low < accuracy.value < accuracy.interval.high
    assert evaluation.agreement == 1
    assert evaluation.largest_difference == 0
    assert evaluation.other_interface is None
    assert evaluation.server.problems == ()
    assert evaluation.server.requests == len(golden.requests) == 8
    assert evaluation.compressed_bytes < evaluation.size_bytes == original.size_bytes
    assert output.metrics["accuracy"] == accuracy.value
    assert evaluation.slices["first"].examples > 20
    assert evaluation.slices["none"].metrics == {}


def test_a_spoiled_variant_shows_its_drop_with_an_interval(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    from support.tiny_variants import Linear, saved_model

    spoiled = saved_model(workspace, Linear(noise=2.0))
    _, evaluation, _ = judged(workspace, tmp_path, spoiled, original)
    accuracy, loss = evaluation.metrics["accuracy"], evaluation.metrics["log_loss"]
    assert accuracy.drop > 0.05
    assert accuracy.drop == pytest.approx(accuracy.original - accuracy.value)
    assert loss.lower_is_better
    assert loss.drop == pytest.approx(loss.value - loss.original)
    assert accuracy.drop_interval is not None
    assert accuracy.drop_interval.low > 0
    assert evaluation.agreement < 0.95


def test_onnx_is_compared_and_its_golden_requests_are_asked_of_onnxruntime(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    from support.tiny_variants import onnx

    _, evaluation, golden = judged(workspace, tmp_path, onnx(workspace, original), original)
    assert evaluation.agreement == 1
    assert 0 <= evaluation.largest_difference < 1e-6
    assert evaluation.inputs["features"].shape == (-1, 4)
    assert evaluation.other_interface is None
    assert evaluation.server.answered_by == "onnxruntime"
    assert evaluation.server.requests == len(golden.requests) == 8
    assert evaluation.server.problems == ()


def test_the_config_with_which_triton_would_serve_onnx_is_kept(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    from support.tiny_variants import onnx

    _, evaluation, _ = judged(workspace, tmp_path, onnx(workspace, original), original)
    [kept] = tmp_path.rglob("config.pbtxt")
    assert kept.read_text() == evaluation.triton_config
    config = text_format.Parse(kept.read_text(), model_config_pb2.ModelConfig())
    assert (config.platform, config.max_batch_size) == ("onnxruntime_onnx", 64)
    assert [tensor.name for tensor in config.input] == ["features"]


def test_onnx_of_another_signature_is_terminal_and_says_which_it_has(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    from support.tiny_variants import onnx

    config = CONFIG | {"signature": "serving"}
    with pytest.raises(TerminalError, match="no signature 'serving'") as caught:
        judged(workspace, tmp_path, onnx(workspace, original), original, config)
    assert "did you mean serving_default" in caught.value.hint


def test_golden_requests_that_onnx_answers_otherwise_are_a_problem(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    from slipway.evaluation.replay import replay
    from support.tiny_variants import Linear, onnx, saved_model

    _, _, golden = judged(workspace, tmp_path, onnx(workspace, original), original)
    other = onnx(workspace, saved_model(workspace, Linear(scale=0.5)))
    facts = replay(other, golden)
    assert facts.requests == 8
    assert facts.largest_difference == pytest.approx(0.5, abs=0.2)
    assert facts.problems[0].startswith("golden request 0: ")
    (other.servable / "model.onnx").write_bytes(b"not a model")
    assert "onnxruntime did not load it" in replay(other, golden).problems[0]


def test_integer_tflite_is_compared_in_real_numbers_and_asked_in_integers(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    from support.tiny_variants import tflite

    variant = tflite(workspace, original, integers=True)
    _, evaluation, golden = judged(workspace, tmp_path, variant, original)
    assert evaluation.inputs["features"].dtype == "int8"
    assert evaluation.inputs["features"].scale > 0
    assert evaluation.agreement > 0.95
    assert evaluation.largest_difference < 0.1
    assert "int8 instead of float32" in (evaluation.other_interface or "")
    assert evaluation.server.problems == ()
    assert golden.tolerance == 1
    [instance] = golden.requests[0].body["instances"]
    assert all(isinstance(number, int) for number in instance)


def test_float_tflite_has_the_interface_of_the_original(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    from support.tiny_variants import tflite

    _, evaluation, golden = judged(workspace, tmp_path, tflite(workspace, original), original)
    assert evaluation.other_interface is None
    assert evaluation.largest_difference < 1e-5
    assert evaluation.server.problems == ()
    assert [len(request.body["instances"]) for request in golden.requests][-1] == 4


def test_the_same_request_gives_the_same_artifact(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    first = judged(workspace, tmp_path / "a", original, original)
    second = judged(workspace, tmp_path / "b", original, original)
    assert first == second


def test_a_metric_of_the_definition_is_used(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    config = {**CONFIG, "metrics": ["worst_class"]}
    _, evaluation, _ = judged(workspace, tmp_path, original, original, config)
    assert 0 < evaluation.metrics["worst_class"].value <= 1


def test_an_unknown_metric_names_the_nearest(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    with pytest.raises(TerminalError, match=r"'acuracy'.*did you mean accuracy") as error:
        judged(workspace, tmp_path, original, original, {**CONFIG, "metrics": ["acuracy"]})
    assert error.value.subject == "acuracy"


def test_an_unknown_signature_names_the_known_one(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    config = {**CONFIG, "signature": "serving"}
    with pytest.raises(TerminalError, match=r"no signature 'serving'.*serving_default"):
        judged(workspace, tmp_path, original, original, config)


def test_outputs_that_are_not_finite_name_the_variant_and_the_tensor(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    from support.tiny_variants import Linear, saved_model

    broken = saved_model(workspace, Linear(scale=float("nan")))
    with pytest.raises(TerminalError, match=r"candidate: output probabilities is NaN.*120 of 120"):
        judged(workspace, tmp_path, broken, original)


def test_data_of_the_wrong_shape_names_the_input(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    from support.tiny_variants import DEFINITION

    text = DEFINITION.replace("features.astype(", "features[:, :3].astype(")
    with pytest.raises(TerminalError, match=r"input features wants shape \[-1, 4\]") as error:
        judged(workspace, tmp_path, original, original, text=text)
    assert error.value.subject == "features"


def test_a_variant_with_other_outputs_names_them(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    import tensorflow as tf

    from support.tiny_variants import Linear, saved_model

    class Narrow(Linear):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "features")])
        def serve(self, features: Any) -> dict[str, Any]:
            return {"probabilities": tf.nn.softmax(features @ self.weights)[:, :2]}

    narrow = saved_model(workspace, Narrow())
    with pytest.raises(TerminalError, match=r"output probabilities has shape \[-1, 2\]"):
        judged(workspace, tmp_path, narrow, original)


def test_a_damaged_file_names_the_variant(
    workspace: Workspace, original: ArtifactRef, tmp_path: Path
):
    folder = tmp_path / "damaged"
    (folder / "tflite").mkdir(parents=True)
    (folder / "tflite" / "model.tflite").write_bytes(b"not a model")
    damaged = ArtifactRef(kind="tflite", digest="0", uri=str(folder), size_bytes=11)
    with pytest.raises(TerminalError, match=r"candidate: .*cannot be loaded"):
        judged(workspace, tmp_path / "run", damaged, original)
