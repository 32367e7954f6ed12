"""What cannot work with what, why, and what to do: data, with its sources.

`docs/doctor.md` is made from this by `make generate`. What other tables say already, such as which
server reads which storage, is looked up there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipway.doctor.conditions import (
    has_no_precision_flags,
    keras_3,
    keras_and_tensorflow,
    loads_tf_trt,
    other_hardware,
    tensorrt,
)
from slipway.doctor.facts import Case, is_padded
from slipway.modelling.gpu import TENSORFLOW_PACKAGES, TENSORRT_PACKAGES
from slipway.modelling.tf_trt import NEWEST_TENSORFLOW
from slipway.serving.serve_config.table import (
    READINGS,
    TF_TRT_RANGES,
    TFLITE_FLAGS,
    reading,
)
from slipway.spec.rollout import SERVED_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

_TENSORFLOW = "https://github.com/tensorflow/tensorflow"
_TFMOT = "https://github.com/tensorflow/model-optimization"
_TRITON = "https://github.com/triton-inference-server/server/blob/main/docs/user_guide/"
_TENSORRT = "https://docs.nvidia.com/deeplearning/tensorrt/11.1.0/"
_ENGINES = f"{_TENSORRT}inference-library/engine-compatibility.html"

# The last TensorFlow whose Python interpreter of TFLite links the delegate of selected operations.
_NEWEST_WITH_FLEX = (2, 19)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that cannot work.

    Attributes:
        id: Name, for people and scripts.
        what: In short, for the table of the docs.
        when: Whether it is so in a case.
        why: What cannot work and why; may name the words of `Case.words`.
        instead: What to do; likewise.
        sources: Where this is known from.
        of_variants: Whether it is held against each variant, or once against the spec.
        warning: Whether the build may begin all the same.
    """

    id: str
    what: str
    when: Callable[[Case], bool]
    why: str
    instead: str
    sources: tuple[str, ...]
    of_variants: bool = True
    warning: bool = False


ENTRIES: tuple[Entry, ...] = (
    Entry(
        "keras-3-definition",
        "a Keras 3 model to train",
        lambda case: not case.spec.imported and keras_3(case),
        "the definition imports keras, which is Keras 3; Slipway trains Keras 2 models",
        "write `import tf_keras` in place of `import keras`",
        (f"{_TFMOT}/issues/1119",),
        of_variants=False,
    ),
    Entry(
        "keras-3-tfmot",
        "pruning or quantization-aware training of a Keras 3 model",
        lambda case: case.technique in {"prune", "quantize"} and keras_3(case),
        "{technique} needs tensorflow-model-optimization, which rejects Keras 3 models, and the "
        "definition imports keras",
        "write `import tf_keras` in place of `import keras`",
        (f"{_TFMOT}/issues/1119",),
    ),
    Entry(
        "tf-keras-of-another-tensorflow",
        "tf-keras and TensorFlow of different releases",
        lambda case: (
            case.here
            and None not in keras_and_tensorflow(case)
            and len(set(keras_and_tensorflow(case))) > 1
        ),
        "tf-keras {tf_keras} is made for another release than TensorFlow {tensorflow}",
        "install the tf-keras of the same major and minor number",
        ("https://pypi.org/project/tf-keras/",),
        of_variants=False,
    ),
    Entry(
        "packages-missing",
        "a technique whose packages are not installed",
        lambda case: case.here and bool(case.missing_packages),
        "{technique} needs packages that are not installed: {missing}",
        "install requirements.txt, or send {variant} to another runtime by execution.run",
        ("requirements.txt",),
    ),
    Entry(
        "tf-trt-newer-server",
        "engines of TF-TRT with TensorFlow Serving 2.18 and later",
        lambda case: case.backend == "tf_trt" and case.of_tensorflow and not loads_tf_trt(case),
        "TensorFlow Serving {server} cannot load engines of TF-TRT: it is built without TensorRT",
        "serve with 2.17.1-gpu (serve.version), or use backend onnx and Triton",
        TF_TRT_RANGES[-1].sources,
    ),
    Entry(
        "tf-trt-cpu-image",
        "engines of TF-TRT in an image without GPU support",
        lambda case: (
            case.backend == "tf_trt"
            and loads_tf_trt(case)
            and bool(case.image_tag)
            and not case.image_tag.endswith("-gpu")
        ),
        "the image of serve.kubernetes has the tag {image_tag}; only -gpu images load engines",
        "use the tag {image_tag}-gpu",
        TF_TRT_RANGES[0].sources,
    ),
    Entry(
        "tf-trt-newer-tensorflow",
        "conversion by TF-TRT with TensorFlow 2.18 and later",
        lambda case: (
            case.backend == "tf_trt"
            and case.here
            and (case.facts.release(*TENSORFLOW_PACKAGES) or (0, 0)) > NEWEST_TENSORFLOW
        ),
        "TF-TRT is in TensorFlow 2.17 and older; {tensorflow} is installed",
        "let execution.run send {variant} to an image with tensorflow==2.17.1",
        (f"{_TENSORFLOW}/issues/87911",),
    ),
    Entry(
        "engine-without-gpu",
        "TensorRT engines on a machine without a GPU",
        lambda case: case.technique == "tensorrt" and case.here and case.facts.gpu is None,
        "an engine is built on a GPU of the kind that serves it, and there is none here",
        "let execution.run send {variant} to a runtime on a node with a GPU",
        ("docs/tensorrt.md",),
    ),
    Entry(
        "tensorrt-missing",
        "engines by backend onnx without TensorRT",
        lambda case: case.backend == "onnx" and case.here and tensorrt(case) is None,
        "the package tensorrt is not installed",
        f"install {TENSORRT_PACKAGES[0]}, or let execution.run send {{variant}} to an image that "
        "has it",
        ("docs/tensorrt.md",),
    ),
    Entry(
        "tensorrt-precision-flag",
        "precision float16 as a builder flag with TensorRT 11",
        lambda case: (
            case.backend == "onnx"
            and case.config.precision == "float16"
            and case.here
            and has_no_precision_flags(case)
        ),
        "TensorRT {tensorrt} has no builder flag for float16",
        "make {variant} `from` an onnx variant with precision float16, and leave precision out",
        ("docs/tensorrt.md",),
    ),
    Entry(
        "engine-other-hardware",
        "an engine for GPUs that the servers do not have",
        lambda case: case.technique == "tensorrt" and case.here and other_hardware(case),
        "it would be built on {gpu}, but the servers have compute capability {compute_capability}",
        "build it on a node with the servers' GPUs, or set serve.compute_capability right",
        (_ENGINES,),
    ),
    Entry(
        "engine-unknown-hardware",
        "an engine for servers of which nobody says which GPU they have",
        lambda case: (
            case.technique == "tensorrt"
            and case.spec.artifact_kind(case.name) in SERVED_KINDS[case.spec.serve.server]
            and (case.backend != "tf_trt" or loads_tf_trt(case))
            and case.spec.serve.compute_capability is None
            and case.spec.serve.fallback is None
        ),
        "an engine runs on one compute capability, and serve.compute_capability is not set, so "
        "that every rollout of it would be refused",
        "set serve.compute_capability to what the servers have, or name serve.fallback",
        (_ENGINES,),
    ),
    Entry(
        "selected-ops-without-delegate",
        "selected TensorFlow operations in an interpreter without their delegate",
        lambda case: (
            case.technique == "tflite"
            and case.config.select_tf_ops
            and case.here
            and (case.facts.release(*TENSORFLOW_PACKAGES) or (0, 0)) > _NEWEST_WITH_FLEX
        ),
        "a TFLite file with selected TensorFlow operations needs the flex delegate, which the "
        "Python interpreters of LiteRT and of TensorFlow {tensorflow} do not link: it could not "
        "be validated",
        "let execution.run send {variant} to an image with tensorflow==2.19.1, or leave "
        "select_tf_ops out",
        ("docs/conversions.md",),
    ),
    Entry(
        "tflite-for-all-or-none",
        "TFLite beside SavedModels with TensorFlow Serving up to 2.2",
        lambda case: (
            case.spec.serve.prefer_tflite_model
            and case.server > (0, 0)
            and TFLITE_FLAGS[0].last is not None
            and case.server <= TFLITE_FLAGS[0].last
        ),
        "TensorFlow Serving {server} has --use_tflite_model alone, which loads model.tflite of "
        "every version or fails; a SavedModel could win and would not load",
        "serve with 2.3 or later, or set serve.prefer_tflite_model to false",
        TFLITE_FLAGS[1].sources,
        of_variants=False,
    ),
    Entry(
        "s3-read-by-a-newer-server",
        "s3:// read by TensorFlow Serving 2.7 and later itself",
        lambda case: (
            case.spec.serve.reads == "direct"
            and case.server > (0, 0)
            and reading(case.spec.publish.base_uri, case.server).way == "sync"
        ),
        "TensorFlow Serving {server} cannot read {base_uri}: s3:// went with 2.7",
        "set serve.reads to sync, and run `slipway sync` beside the server",
        READINGS[-1].sources,
        of_variants=False,
    ),
    Entry(
        "image-of-another-version",
        "serve.version and the tag of serve.kubernetes.image differ",
        lambda case: (
            bool(case.image_tag)
            and case.spec.serve.version is not None
            and case.image_tag.partition("-")[0] != case.spec.serve.version.partition("-")[0]
        ),
        "serve.version is {server}, and the image of serve.kubernetes has the tag {image_tag}",
        "write the same version in both, or leave serve.version out",
        ("https://hub.docker.com/r/tensorflow/serving/tags",),
        of_variants=False,
    ),
    Entry(
        "triton-padded-versions",
        "version folders with zeros in front for Triton",
        lambda case: (
            case.spec.serve.server == "triton"
            and any(is_padded(name) for name in case.facts.folders)
        ),
        "Triton ignores version folders that begin with 0, and {base_uri} has {padded}",
        "`slipway adopt` makes a version of such a folder; then remove it",
        (f"{_TRITON}model_repository.md#model-versions",),
        of_variants=False,
    ),
    Entry(
        "triton-nothing-to-serve",
        "Triton without an ONNX or TensorRT variant",
        lambda case: (
            case.spec.serve.server == "triton"
            and not any(
                case.spec.artifact_kind(name) in SERVED_KINDS["triton"]
                for name in case.spec.variants
            )
        ),
        "Triton serves ONNX and TensorRT, and no variant is either, so that none could win",
        "add a variant with the technique onnx, or set serve.server to tensorflow_serving",
        (f"{_TRITON}model_repository.md#model-files",),
        of_variants=False,
    ),
    Entry(
        "triton-outside-of-a-cluster",
        "rollouts to a Triton outside of Kubernetes",
        lambda case: case.spec.serve.server == "triton" and case.spec.serve.kubernetes is None,
        "a rollout needs version labels, which Triton lacks, or a Deployment a version: it will "
        "be refused",
        "set serve.kubernetes, or load what is published by `slipway serve-config`'s load.sh",
        (f"{_TRITON}model_management.md",),
        of_variants=False,
        warning=True,
    ),
)
