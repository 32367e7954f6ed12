from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format, text_format  # noqa: TID253 - the real parser is the judge
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2  # noqa: TID253 - as above

from slipway.errors import TerminalError
from slipway.evaluation.facts import TensorFacts
from slipway.serving.catalog import list_versions
from slipway.serving.engine import Engine
from slipway.serving.layout import Manifest, parse_manifest, resolve
from slipway.serving.publish import publish
from slipway.serving.triton import load_request, model_config, parse_config
from slipway.storage import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.storage import Store

IMAGE = {"image": TensorFacts(dtype="float32", shape=(-1, 8, 8))}
DIGIT = {"probabilities": TensorFacts(dtype="float32", shape=(-1, 10))}
ENGINE = Engine(backend="onnx", tensorrt="10.16.1.11", compute_capability="9.0", gpu="a GPU")


def parsed(text: str) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_the_config_is_what_triton_parses() -> None:
    config = parsed(model_config("digits", "tensorrt", IMAGE, DIGIT, 32))
    assert (config.name, config.platform, config.max_batch_size) == ("digits", "tensorrt_plan", 32)
    [image] = config.input
    assert (image.name, list(image.dims)) == ("image", [8, 8])
    assert image.data_type == model_config_pb2.TYPE_FP32
    [digit] = config.output
    assert (digit.name, list(digit.dims)) == ("probabilities", [10])
    assert config.HasField("dynamic_batching")
    assert config.version_policy.latest.num_versions == 1


def test_without_a_dynamic_batch_every_size_is_told_and_nothing_is_batched() -> None:
    fixed = {"image": TensorFacts(dtype="uint8", shape=(1, 224, 224, 3))}
    config = parsed(model_config("photos", "onnx", fixed, DIGIT))
    assert (config.platform, config.max_batch_size) == ("onnxruntime_onnx", 0)
    assert list(config.input[0].dims) == [1, 224, 224, 3]
    assert list(config.output[0].dims) == [-1, 10]
    assert not config.HasField("dynamic_batching")


def test_a_number_for_each_example_is_a_vector_of_one_to_triton() -> None:
    number = {"age": TensorFacts(dtype="int64", shape=(-1,))}
    config = parsed(model_config("people", "onnx", number, number))
    assert list(config.input[0].dims) == [1]
    assert config.input[0].HasField("reshape")
    assert list(config.input[0].reshape.shape) == []


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1),
        st.tuples(
            st.sampled_from(["float32", "float16", "int64", "bool", "string"]),
            st.lists(st.sampled_from([-1, 1, 3, 224]), max_size=4),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_whatever_the_signature_its_config_says_it(given_: dict[str, Any]) -> None:
    tensors = {n: TensorFacts(dtype=d, shape=(-1, *shape)) for n, (d, shape) in given_.items()}
    config = parsed(model_config("any", "onnx", tensors, tensors))
    assert [tensor.name for tensor in config.input] == list(tensors)
    for tensor, (dtype, shape) in zip(config.input, given_.values(), strict=True):
        assert list(tensor.dims) == (shape or [1])
        name = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_").lower()
        assert name == dtype.replace("float", "fp")


def test_a_type_that_triton_does_not_have_is_named() -> None:
    odd = {"phase": TensorFacts(dtype="complex64", shape=(-1,))}
    with pytest.raises(TerminalError, match="no type for phase, which is complex64"):
        model_config("waves", "onnx", odd, odd)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "bucket"))


def put(store: Store, folder: Path, name: str, content: bytes, config: str, **more: Any) -> int:
    folder.mkdir()
    (folder / name).write_bytes(content)
    return publish(
        store, "digits", folder, variant="trt", metrics={}, triton_config=config, **more
    ).version


def test_the_bucket_is_a_repository_that_triton_can_load(store: Store, tmp_path: Path) -> None:
    onnx = model_config("digits", "onnx", IMAGE, DIGIT)
    plan = model_config("digits", "tensorrt", IMAGE, DIGIT, 64)
    put(store, tmp_path / "a", "model.onnx", b"graph", onnx)
    put(store, tmp_path / "b", "model.plan", b"engine", plan, engine=ENGINE)
    root = tmp_path / "bucket" / "digits"
    config = parsed((root / "config.pbtxt").read_text())
    assert config.name == root.name
    versions = sorted(path.name for path in root.iterdir() if path.name.isdigit())
    assert versions == ["1", "2"]
    assert (root / "1" / "model.onnx").is_file()
    assert (root / "2" / "model.plan").is_file()
    own = parsed((root / "_slipway" / "triton" / "2.pbtxt").read_text())
    assert own.platform == "tensorrt_plan"
    assert resolve(store, "digits", 2).engine == ENGINE


@pytest.mark.parametrize(
    ("inputs", "outputs", "batch", "complaint"),
    [
        ({"picture": IMAGE["image"]}, DIGIT, 64, "takes picture: TYPE_FP32"),
        ({"image": TensorFacts(dtype="uint8", shape=(-1, 8, 8))}, DIGIT, 64, "TYPE_UINT8"),
        (IMAGE, {"digit": TensorFacts(dtype="int64", shape=(-1, 1))}, 64, "gives digit"),
        (IMAGE, DIGIT, 8, "takes batches up to 8 instead of 64"),
    ],
)
def test_a_version_with_another_interface_is_refused(
    store: Store, tmp_path: Path, inputs: Any, outputs: Any, batch: int, complaint: str
) -> None:
    put(store, tmp_path / "a", "model.onnx", b"1", model_config("digits", "onnx", IMAGE, DIGIT))
    other = model_config("digits", "tensorrt", inputs, outputs, batch)
    with pytest.raises(TerminalError, match=complaint):
        put(store, tmp_path / "b", "model.plan", b"2", other)
    [only] = [info for info in list_versions(store, "digits") if info.state == "published"]
    assert only.version == 1


def test_a_load_request_names_the_versions_and_carries_their_config() -> None:
    text = model_config("digits", "tensorrt", IMAGE, DIGIT, 64)
    body = load_request(text, {7, 5}, instances=2)
    config = json_format.Parse(body["parameters"]["config"], model_config_pb2.ModelConfig())
    assert list(config.version_policy.specific.versions) == [5, 7]
    assert config.instance_group[0].count == 2
    assert config.platform == "tensorrt_plan"
    assert json.loads(body["parameters"]["config"])["max_batch_size"] == 64


def test_a_damaged_config_is_said_so() -> None:
    with pytest.raises(TerminalError, match=r"where/config.pbtxt is no config of Triton"):
        parse_config("name: ", "where/config.pbtxt")


def manifest(**more: Any) -> Manifest:
    return Manifest(
        model="digits", version=1, digest="0" * 64, files=(), variant="v",
        created_at="2026-01-01T00:00:00Z", **more,
    )  # fmt: skip


def test_a_manifest_without_engines_is_as_it_always_was() -> None:
    plain = manifest().to_bytes()
    assert b"engine" not in plain
    assert parse_manifest(plain, "m").engine is None
    assert parse_manifest(manifest(engine=ENGINE).to_bytes(), "m").engine == ENGINE


@pytest.mark.parametrize(
    ("compatibility", "capability", "tensorrt", "why"),
    [
        ("none", "9.0", None, None),
        ("none", "9.0", "10.16.1", None),
        ("none", "9.0", "10.16", None),
        ("none", "9.0", "10.16.0", "built by TensorRT 10.16.1.11"),
        ("none", "9.0", "11.4.0.106", "built by TensorRT 10.16.1.11"),
        ("none", "8.6", None, "built for compute capability 9.0"),
        ("none", "10.0", None, "built for compute capability 9.0"),
        ("same_compute_capability", "8.9", None, "built for compute capability 9.0"),
        ("ampere_plus", "8.0", None, None),
        ("ampere_plus", "10.0", None, None),
        ("ampere_plus", "7.5", None, "8.0 and later, not on 7.5"),
    ],
)
def test_an_engine_knows_where_it_runs(
    compatibility: str, capability: str, tensorrt: str | None, why: str | None
) -> None:
    engine = ENGINE.model_copy(update={"hardware_compatibility": compatibility})
    found = engine.why_not_on(capability, tensorrt)
    assert (found is None) if why is None else (found is not None and why in found)
