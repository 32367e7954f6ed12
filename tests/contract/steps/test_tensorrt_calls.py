"""The calls of TensorRT and TF-TRT are calls that the real packages take."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import tensorflow as tf  # noqa: TID253 - a test may
from pydantic import ValidationError

from slipway.errors import TerminalError
from slipway.modelling import tf_trt
from slipway.modelling.saved_model import Signature
from slipway.modelling.shapes import BatchRange, ShapeRange
from slipway.modelling.tensorrt_engine import COMPATIBILITY, BuildOptions, build_engine
from slipway.modelling.tensorrt_releases import RELEASES, release_of
from slipway.steps.tensorrt import TensorRTConfig
from support.tensorrt_signatures.strict import BINDINGS, StrictTensorRT, read_record

if TYPE_CHECKING:
    from pathlib import Path

BATCH = BatchRange(min=1, opt=8, max=32)
INPUTS = {"image": (-1, 8, 8), "weight": (-1, 1)}


def build(
    monkeypatch: pytest.MonkeyPatch, trt: StrictTensorRT, folder: Path, **options: Any
) -> Any:
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    given = BuildOptions(batch=BATCH, **options)
    return build_engine("tried", folder / "model.onnx", given, lambda _line: None)


@pytest.mark.parametrize("version", BINDINGS)
def test_an_engine_is_built_with_calls_that_the_release_takes(
    version: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt = StrictTensorRT(version, INPUTS)
    made = build(
        monkeypatch,
        trt,
        tmp_path,
        workspace_bytes=1 << 28,
        optimization_level=5,
        hardware_compatibility="ampere_plus",
        timing_cache=tmp_path / "timings.cache",
    )
    assert (made.plan, made.version, made.largest_batch, made.layers) == (b"plan", version, 32, 7)
    [parsed] = trt.called("OnnxParser.parse_from_file")
    assert parsed == {"model": str(tmp_path / "model.onnx")}
    [limit] = trt.called("IBuilderConfig.set_memory_pool_limit")
    assert limit["pool_size"] == 1 << 28
    assert trt.called("IBuilderConfig.builder_optimization_level") == [{"value": 5}]
    shapes = trt.called("IOptimizationProfile.set_shape")
    assert shapes == [
        {"input": "image", "min": (1, 8, 8), "opt": (8, 8, 8), "max": (32, 8, 8)},
        {"input": "weight", "min": (1, 1), "opt": (8, 1), "max": (32, 1)},
    ]
    assert (tmp_path / "timings.cache").read_bytes() == b"timings"
    assert trt.called("IBuilderConfig.set_flag") == []


@pytest.mark.parametrize("version", BINDINGS)
def test_a_network_takes_its_types_from_the_graph(
    version: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt = StrictTensorRT(version, INPUTS)
    build(monkeypatch, trt, tmp_path)
    [made] = trt.called("Builder.create_network")
    strongly_typed = 1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    assert made["flags"] & strongly_typed


def test_release_10_lowers_the_precision_by_a_flag_and_11_says_where_it_went(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = StrictTensorRT(BINDINGS[0], INPUTS)
    build(monkeypatch, old, tmp_path, precision="float16")
    assert old.called("IBuilderConfig.set_flag") == [{"flag": old.BuilderFlag.FP16}]
    new = StrictTensorRT(BINDINGS[1], INPUTS)
    with pytest.raises(TerminalError, match="takes the precision from the graph") as caught:
        build(monkeypatch, new, tmp_path, precision="float16")
    assert "onnx variant with precision float16" in caught.value.hint


@pytest.mark.parametrize("version", BINDINGS)
def test_the_flags_of_a_release_are_those_of_its_package(version: str) -> None:
    classes = read_record(f"tensorrt-{version}")["classes"]
    release = release_of(version)
    creation = classes["NetworkDefinitionCreationFlag"]["members"]
    assert set(release.creation_flags) <= set(creation)
    assert set(release.weak_creation_flags or ()) <= set(creation)
    builder = classes["BuilderFlag"]["members"]
    assert set(release.precision_flags.values()) <= set(builder)
    assert ("FP16" in builder) == bool(release.precision_flags)
    compatibility = classes["HardwareCompatibilityLevel"]["members"]
    assert set(COMPATIBILITY.values()) == set(compatibility)


def test_other_releases_are_refused() -> None:
    assert [release.major for release in RELEASES] == [10, 11]
    for version in ("8.6.1", "12.0"):
        with pytest.raises(TerminalError, match="engines are built with 10 or 11"):
            release_of(version)


@pytest.mark.parametrize("version", BINDINGS)
def test_an_operation_that_tensorrt_does_not_know_is_named_with_its_node(
    version: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt = StrictTensorRT(version, INPUTS, refuses=("StringSplit", "text/split", "no importer"))
    with pytest.raises(TerminalError, match=r"StringSplit \(node text/split\): no importer"):
        build(monkeypatch, trt, tmp_path)


def test_a_build_that_gives_nothing_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt = StrictTensorRT(BINDINGS[1], INPUTS, plan=None)
    with pytest.raises(TerminalError, match="built no engine"):
        build(monkeypatch, trt, tmp_path)


def test_timings_of_the_last_build_are_used_by_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for known in (b"", b"timings"):
        trt = StrictTensorRT(BINDINGS[1], INPUTS)
        build(monkeypatch, trt, tmp_path, timing_cache=tmp_path / "timings.cache")
        [made] = trt.called("IBuilderConfig.create_timing_cache")
        assert made == {"serialized_timing_cache": known}


def test_what_the_real_package_does_not_take_fails_here() -> None:
    trt = StrictTensorRT(BINDINGS[1], INPUTS)
    with pytest.raises(AttributeError, match="FP16"):
        _ = trt.BuilderFlag.FP16
    config = trt.Builder.__new__(trt.Builder).create_builder_config()
    with pytest.raises(AttributeError, match="no int8_calibrator"):
        _ = config.int8_calibrator
    with pytest.raises(AttributeError, match="cannot be set"):
        config.max_workspace_size = 1
    with pytest.raises(TypeError, match="pool_size"):
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, "1 GiB")


class Converter:
    """TF-TRT's converter, which takes what the real one takes."""

    record = read_record("tf_trt-2.17.1")
    calls: list[tuple[str, dict[str, Any]]]

    def __init__(self, **given: Any) -> None:
        self._note("__init__", given)
        assert given["precision_mode"] in self.record["precision_modes"]
        assert given["dynamic_shape_profile_strategy"] in (
            None,
            *self.record["profile_strategies"],
        )

    def convert(self, **given: Any) -> None:
        self._note("convert", given)

    def summary(self, **given: Any) -> None:
        self._note("summary", given)
        for line in ("[*] Total number of TensorRT engines: 2", self.share):
            given["print_fn"](line)

    share = "[*] % of OPs Converted: 75.00% [15/20]\n"

    def build(self, **given: Any) -> None:
        self._note("build", {"shapes": [one["image"].shape for one in given["input_fn"]()]})

    def save(self, **given: Any) -> None:
        self._note("save", given)

    def _note(self, method: str, given: dict[str, Any]) -> None:
        if method != "build":
            assert set(given) <= set(self.record["methods"][method]), method
        type(self).calls.append((method, given))


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> type[Converter]:
    class Fresh(Converter):
        calls: list[tuple[str, dict[str, Any]]] = []  # noqa: RUF012  # a class for each test

    module = ModuleType("trt_convert")
    module.TrtGraphConverterV2 = Fresh  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorflow.python.compiler.tensorrt.trt_convert", module)
    monkeypatch.setattr(tf_trt, "_loaded_tensorrt", lambda: (8, 6, 1))
    return Fresh


def convert(tmp_path: Path, **options: Any) -> tf_trt.Conversion:
    spec = tf.TensorSpec((None, 8, 8), tf.float32)
    signature = Signature("serving_default", {"image": spec}, {})
    given = tf_trt.ConvertOptions(batch=BATCH, **options)
    calibration = (lambda: iter(())) if options.get("precision") == "int8" else None
    return tf_trt.convert("tried", tmp_path, signature, tmp_path / "out", given, calibration)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_tf_trt_is_called_with_what_it_takes(
    precision: str, converter: type[Converter], tmp_path: Path
) -> None:
    made = convert(tmp_path, precision=precision, minimum_segment_size=5)
    assert (made.tensorrt, made.engines) == ("8.6.1", 2)
    assert (made.converted_operations, made.operations) == (15, 20)
    assert [name for name, _ in converter.calls] == [
        "__init__", "convert", "summary", "build", "save",
    ]  # fmt: skip
    given = converter.calls[0][1]
    assert given["minimum_segment_size"] == 5
    assert given["use_calibration"] == (precision == "int8")
    assert converter.calls[3][1]["shapes"] == [(1, 8, 8), (8, 8, 8), (32, 8, 8)]


def test_nothing_converted_is_an_error(converter: type[Converter], tmp_path: Path) -> None:
    converter.share = "[*] % of OPs Converted: 0.00% [0/20]\n"
    with pytest.raises(TerminalError, match="none of the 20 operations"):
        convert(tmp_path)


@pytest.mark.parametrize(
    ("profile", "complaint"),
    [
        ({"picture": (1, 8, 8)}, "does not have"),
        ({"image": (1, 8)}, "does not fit its shape"),
        ({"image": (1, 8, 9)}, "does not fit its shape"),
    ],
)
def test_a_profile_that_does_not_fit_is_named(
    profile: dict[str, tuple[int, ...]],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    given = {n: ShapeRange(min=shape, opt=shape, max=shape) for n, shape in profile.items()}
    with pytest.raises(TerminalError, match=complaint):
        build(monkeypatch, StrictTensorRT(BINDINGS[1], INPUTS), tmp_path, profiles=(given,))


def test_a_dynamic_size_without_a_profile_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trt = StrictTensorRT(BINDINGS[1], {"text": (-1, -1)})
    with pytest.raises(TerminalError, match="dynamic shape"):
        build(monkeypatch, trt, tmp_path)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"backend": "onnx", "minimum_segment_size": 4}, "no option of backend onnx"),
        ({"backend": "tf_trt", "builder_optimization_level": 1}, "no option of backend tf_trt"),
        ({"precision": "int8"}, "onnx variant with precision int8"),
        ({"batch": {"min": 4, "opt": 2}}, "min <= opt <= max"),
        ({"profiles": [{"x": {"min": [1], "opt": [1, 2], "max": [1]}}]}, "have 1, 2 and 1 sizes"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        TensorRTConfig.model_validate(given)
