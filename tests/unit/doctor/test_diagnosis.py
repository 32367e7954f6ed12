"""Planted incompatibilities, each found by name; nothing is imported for it."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from slipway.doctor import Facts, diagnose, gather, refuse_blocked
from slipway.doctor.knowledge import ENTRIES
from slipway.errors import TerminalError
from slipway.modelling.gpu import Gpu
from slipway.spec.model import ModelSpec
from support.specs import PROJECT, SMALLEST

if TYPE_CHECKING:
    from pathlib import Path

INSTALLED = {"tensorflow": "2.21.0", "tf-keras": "2.21.0"} | dict.fromkeys(
    (
        "tensorflow-model-optimization",
        "ai-edge-litert",
        "ai-edge-quantizer",
        "tf2onnx",
        "onnx",
        "onnxslim",
        "onnxruntime",
    ),
    "1.0",
)
GPU = Gpu("NVIDIA A10G", "8.6", 24 << 30, "580.1")
TRT_11 = {"tensorrt-cu13": "11.4.0"}
ENGINE = {"graph": {"onnx": {}}, "engine": {"from": "graph", "tensorrt": {"backend": "onnx"}}}
CLUSTER = {"namespace": "models"}


def facts(variants: dict[str, Any] | None = None, **given: Any) -> Facts:
    """Of the smallest spec with these variants and fields, on a machine that has everything."""
    spec = yaml.safe_load(SMALLEST.format(model="tiny"))
    serve = given.pop("serve", {})
    known = {name: given.pop(name) for name in ("imports", "folders", "gpu") if name in given}
    installed = INSTALLED | given.pop("installed", {})
    spec |= {"variants": variants or {}, "serve": serve} | given
    return Facts(
        spec=ModelSpec.model_validate(spec),
        installed={name: found for name, found in installed.items() if found},
        **known,
    )


PLANTS: dict[str, Facts] = {
    "keras-3-definition": facts(imports=frozenset({"numpy", "keras"})),
    "keras-3-tfmot": facts({"small": {"prune": {}}}, imports=frozenset({"keras"})),
    "tf-keras-of-another-tensorflow": facts(installed={"tf-keras": "2.19.0"}),
    "packages-missing": facts({"graph": {"onnx": {}}}, installed={"onnxruntime": ""}),
    "tf-trt-newer-server": facts({"engine": {"tensorrt": {"backend": "tf_trt"}}}),
    "tf-trt-cpu-image": facts(
        {"engine": {"tensorrt": {"backend": "tf_trt"}}},
        serve={"kubernetes": CLUSTER | {"image": "tensorflow/serving:2.17.1"}},
    ),
    "tf-trt-newer-tensorflow": facts({"engine": {"tensorrt": {"backend": "tf_trt"}}}),
    "engine-without-gpu": facts(ENGINE, installed=TRT_11),
    "tensorrt-missing": facts(ENGINE, gpu=GPU),
    "tensorrt-precision-flag": facts(
        {
            "graph": {"onnx": {}},
            "engine": {"from": "graph", "tensorrt": {"precision": "float16"}},
        },
        installed=TRT_11,
        gpu=GPU,
    ),
    "engine-other-hardware": facts(
        ENGINE, installed=TRT_11, gpu=GPU, serve={"compute_capability": "9.0"}
    ),
    "engine-unknown-hardware": facts(ENGINE, installed=TRT_11, gpu=GPU, serve={"server": "triton"}),
    "selected-ops-without-delegate": facts({"lite": {"tflite": {"select_tf_ops": True}}}),
    "tflite-for-all-or-none": facts(
        {"lite": {"tflite": {}}}, serve={"version": "2.2.0", "prefer_tflite_model": True}
    ),
    "s3-read-by-a-newer-server": facts(serve={"version": "2.7.0", "reads": "direct"}),
    "image-of-another-version": facts(
        serve={"version": "2.17.1", "kubernetes": CLUSTER | {"image": "tensorflow/serving:2.20.0"}}
    ),
    "triton-padded-versions": facts(
        {"graph": {"onnx": {}}}, serve={"server": "triton"}, folders=("1", "0002")
    ),
    "triton-nothing-to-serve": facts({"lite": {"tflite": {}}}, serve={"server": "triton"}),
    "triton-outside-of-a-cluster": facts({"graph": {"onnx": {}}}, serve={"server": "triton"}),
}


@pytest.mark.parametrize("entry", [each.id for each in ENTRIES])
def test_what_is_planted_is_found_by_name(entry: str) -> None:
    found = [one for one in diagnose(PLANTS[entry]) if one.entry == entry]
    assert len(found) == 1
    assert found[0].hint
    assert found[0].sources
    assert "{" not in found[0].message + found[0].hint
    assert entry in str(found[0])


@pytest.mark.parametrize(
    ("entry", "mended"),
    [
        (
            "tf-trt-newer-server",
            facts({"engine": {"tensorrt": {"backend": "tf_trt"}}}, serve={"version": "2.17.1-gpu"}),
        ),
        ("s3-read-by-a-newer-server", facts(serve={"version": "2.6.2", "reads": "direct"})),
        ("s3-read-by-a-newer-server", facts(serve={"version": "2.20.0", "reads": "sync"})),
        (
            "engine-other-hardware",
            facts(ENGINE, installed=TRT_11, gpu=GPU, serve={"compute_capability": "8.6"}),
        ),
        ("selected-ops-without-delegate", facts({"lite": {"tflite": {}}})),
        (
            "selected-ops-without-delegate",
            facts(
                {"lite": {"tflite": {"select_tf_ops": True}}},
                execution={"python": "/opt/tensorflow-2.19/bin/python"},
            ),
        ),
        (
            "triton-padded-versions",
            facts({"graph": {"onnx": {}}}, serve={"server": "triton"}, folders=("1", "20")),
        ),
        (
            "tf-trt-newer-server",  # Triton serves none of its kind, which select says
            facts({"engine": {"tensorrt": {"backend": "tf_trt"}}}, serve={"server": "triton"}),
        ),
        (
            "image-of-another-version",  # somebody's own image has numbers of its own
            facts(serve={"version": "2.17.1", "kubernetes": CLUSTER | {"image": "own/server:3.1"}}),
        ),
        ("keras-3-tfmot", facts({"small": {"prune": {}}}, imports=frozenset({"tf_keras"}))),
        ("tensorrt-precision-flag", facts(ENGINE, installed=TRT_11, gpu=GPU)),
    ],
)
def test_what_was_done_about_it_is_not_found_again(entry: str, mended: Facts) -> None:
    assert entry not in {one.entry for one in diagnose(mended)}


def test_a_required_variant_blocks_and_another_costs_itself_alone() -> None:
    optional = facts({"engine": {"tensorrt": {"backend": "tf_trt"}}})
    assert not any(one.blocks for one in diagnose(optional))
    refuse_blocked("tiny", diagnose(optional))
    required = facts({"engine": {"required": True, "tensorrt": {"backend": "tf_trt"}}})
    with pytest.raises(TerminalError, match=r"variants.engine: .*2\.20\.0 cannot load") as caught:
        refuse_blocked("tiny", diagnose(required))
    assert "2.17.1-gpu" in caught.value.hint
    assert caught.value.subject == "engine"


def test_a_warning_does_not_block() -> None:
    found = diagnose(PLANTS["triton-outside-of-a-cluster"])
    assert [(one.entry, one.blocks) for one in found] == [("triton-outside-of-a-cluster", False)]


def test_the_definition_is_read_and_not_run(tmp_path: Path) -> None:
    definition = tmp_path / "tiny.py"
    definition.write_text("from keras.layers import Dense\nraise SystemExit\n")
    assert gather(facts().spec, definition).imports == {"keras"}
    definition.write_text("def load_data(:")
    assert gather(facts().spec, definition).imports == frozenset()


@given(data=st.data())
def test_it_has_an_answer_for_every_spec(data: st.DataObject) -> None:
    planted = data.draw(st.sampled_from(sorted(PLANTS)))
    found = PLANTS[planted]
    installed = data.draw(
        st.dictionaries(st.sampled_from(sorted(INSTALLED | TRT_11)), st.text(max_size=8))
    )
    gpu = data.draw(st.none() | st.just(GPU))
    folders = tuple(data.draw(st.lists(st.text(max_size=5), max_size=3)))
    for one in diagnose(replace(found, installed=installed, gpu=gpu, folders=folders)):
        assert one.message
        assert one.hint


def test_every_example_passes_in_seconds_without_tensorflow() -> None:
    code = (
        "import sys\n"
        "from slipway.cli.main import app\n"
        "sys.argv = ['slipway', 'doctor']\n"
        "try:\n    app()\nfinally:\n"
        "    print('heavy:', sorted({'tensorflow', 'keras', 'tf_keras', 'onnx'} & {*sys.modules}))"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for model in ("breast_cancer", "diabetes", "digits"):
        assert model in done.stdout
    assert "blocks" not in done.stdout
    assert "heavy: []" in done.stdout
    assert time.monotonic() - started < 10
