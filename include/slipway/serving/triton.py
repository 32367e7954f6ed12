"""Triton's model repository: `config.pbtxt` beside the versions, by Triton's own protobufs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from slipway.errors import TerminalError
from slipway.serving.layout import Layout
from slipway.storage import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from slipway.evaluation.facts import TensorFacts
    from slipway.storage import Store

TritonKind = Literal["onnx", "tensorrt"]

PLATFORMS: dict[TritonKind, str] = {"onnx": "onnxruntime_onnx", "tensorrt": "tensorrt_plan"}
CONFIG_FILE = "config.pbtxt"
# A graph with a dynamic batch takes any number; Triton wants one, and queues up to it.
ONNX_BATCH = 64

_TYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "bfloat16": "TYPE_BF16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
    "string": "TYPE_STRING",
}


def model_config(
    model: str,
    kind: TritonKind,
    inputs: Mapping[str, TensorFacts],
    outputs: Mapping[str, TensorFacts],
    max_batch_size: int | None = None,
) -> str:
    """The ModelConfig text proto of a model.

    Args:
        model: Its name, which is its folder's too.
        kind: What its versions hold.
        inputs: By name, the batch first.
        outputs: The same.
        max_batch_size: The largest batch; 0: requests are not batched; None: by the shapes.

    Raises:
        TerminalError: Triton has no such type, or its protobufs are not installed.
    """
    pb2 = _protobufs()
    from google.protobuf import text_format

    tensors = [*inputs.values(), *outputs.values()]
    batched = all(facts.shape and facts.shape[0] == -1 for facts in tensors)
    size = ONNX_BATCH if max_batch_size is None else max_batch_size
    config = pb2.ModelConfig(
        name=model, platform=PLATFORMS[kind], max_batch_size=size if batched else 0
    )
    config.version_policy.latest.num_versions = 1
    for name, facts in inputs.items():
        config.input.add(name=name, **_tensor(pb2, name, facts, batched=batched))
    for name, facts in outputs.items():
        config.output.add(name=name, **_tensor(pb2, name, facts, batched=batched))
    if batched:
        config.dynamic_batching.SetInParent()
    text: str = text_format.MessageToString(config)
    return text


def place_config(store: Store, model: str, version: int, text: str) -> None:
    """Puts a version's config in place, before its manifest makes the version exist.

    The first one becomes `config.pbtxt`, by which Triton loads whatever the request to load does
    not say otherwise. Every later version must take the same inputs and give the same outputs.
    Each version's own config is kept in the bookkeeping, for `load_request`.

    Raises:
        TerminalError: The version's inputs, outputs or batches are not those of the model.
    """
    layout = Layout(model)
    store.put(layout.triton(version), text.encode())
    try:
        store.put(layout.config_pbtxt, text.encode(), if_absent=True)
    except PreconditionFailed:
        found = store.get(layout.config_pbtxt)
        if found is not None:
            _same_interface(f"{store.uri}/{layout.config_pbtxt}", found.data.decode(), text)


def version_config(store: Store, model: str, version: int) -> str:
    """The config of a version, as it was published.

    Raises:
        TerminalError: It was not published for Triton.
    """
    path = Layout(model).triton(version)
    found = store.get(path)
    if found is None:
        raise TerminalError(
            f"version {version} of {model} was not published for Triton",
            hint="only onnx variants and engines made from them are; set serve.server: triton, so "
            "that one of them can win",
            subject=f"{store.uri}/{path}",
        )
    return found.data.decode()


def load_request(
    text: str, versions: Collection[int], *, instances: int | None = None
) -> dict[str, Any]:
    """The body of `POST /v2/repository/models/<model>/load` that serves exactly some versions.

    Args:
        text: The config of the versions; all are loaded with it, so all are of one kind.
        versions: Their numbers.
        instances: How many of each run at once; None: as Triton chooses.
    """
    from google.protobuf import json_format

    config = parse_config(text, "config.pbtxt")
    config.version_policy.specific.versions.extend(sorted(set(versions)))
    if instances is not None:
        config.instance_group.add(count=instances)
    as_json = json_format.MessageToJson(config, preserving_proto_field_name=True, indent=None)
    return {"parameters": {"config": as_json}}


def parse_config(text: str, subject: str) -> Any:
    """A ModelConfig from its text proto.

    Raises:
        TerminalError: It is none.
    """
    pb2 = _protobufs()
    from google.protobuf import text_format

    try:
        return text_format.Parse(text, pb2.ModelConfig())
    except text_format.ParseError as error:
        raise TerminalError(
            f"{subject} is no config of Triton: {error}",
            hint="restore it, or move it away and publish again",
            subject=subject,
        ) from None


def _same_interface(where: str, standing: str, text: str) -> None:
    theirs, ours = parse_config(standing, where), parse_config(text, where)
    problems = [
        f"{what} {_shown(getattr(ours, field))} instead of {_shown(getattr(theirs, field))}"
        for what, field in (("takes", "input"), ("gives", "output"))
        if _shown(getattr(ours, field)) != _shown(getattr(theirs, field))
    ]
    if bool(ours.max_batch_size) != bool(theirs.max_batch_size) or (
        ours.max_batch_size < theirs.max_batch_size
    ):
        problems.append(
            f"takes batches up to {ours.max_batch_size} instead of {theirs.max_batch_size}"
        )
    if problems:
        raise TerminalError(
            f"the version does not fit {where}: it {', and it '.join(problems)}",
            hint="clients of the model would break: publish it under another model's name, or "
            "remove config.pbtxt once no version of the old interface is served",
            subject=where,
        )


def _shown(tensors: Any) -> str:
    ordered = sorted(tensors, key=lambda tensor: str(tensor.name))
    pb2 = _protobufs()
    return ", ".join(
        f"{tensor.name}: {pb2.DataType.Name(tensor.data_type)}{list(tensor.dims)}"
        for tensor in ordered
    )


def _tensor(pb2: Any, name: str, facts: TensorFacts, *, batched: bool) -> dict[str, Any]:
    if facts.dtype not in _TYPES:
        raise TerminalError(
            f"Triton has no type for {name}, which is {facts.dtype}",
            hint=f"it has {', '.join(_TYPES)}; cast it in the signature",
            subject=name,
        )
    sizes = facts.shape[1:] if batched else facts.shape
    return {
        "data_type": pb2.DataType.Value(_TYPES[facts.dtype]),
        # A number for each example is a vector of one to Triton, which knows no scalars.
        "dims": list(sizes) or [1],
        **({} if sizes else {"reshape": pb2.ModelTensorReshape()}),
    }


def _protobufs() -> Any:
    try:
        from tritonclient.grpc import model_config_pb2
    except ImportError:
        raise TerminalError(
            "Triton's protobufs are not installed, so no config.pbtxt can be written or read",
            hint="install tritonclient and grpcio where the step runs",
            subject="tritonclient",
        ) from None
    return model_config_pb2
