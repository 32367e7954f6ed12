"""The model config file and the monitoring config file, parsed with their real protobufs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slipway.serving.server.flags import ServerFlags

DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"


@dataclass(frozen=True)
class VersionPolicy:
    """Which of the versions that exist are to be served.

    Args:
        kind: ``latest`` serves the ``count`` highest, ``specific`` the listed, ``all`` every one.
        count: How many, for ``latest``; 0 counts as 1.
        versions: Which, for ``specific``.
    """

    kind: Literal["latest", "specific", "all"] = "latest"
    count: int = 1
    versions: frozenset[int] = frozenset()

    def choose(self, existing: Iterable[int]) -> frozenset[int]:
        """The versions to serve among those that exist."""
        if self.kind == "all":
            return frozenset(existing)
        if self.kind == "specific":
            return self.versions & frozenset(existing)
        return frozenset(sorted(existing, reverse=True)[: max(1, self.count)])


@dataclass(frozen=True)
class ModelConfig:
    """One served model."""

    name: str
    base_path: str
    policy: VersionPolicy = VersionPolicy()
    labels: dict[str, int] = field(default_factory=dict)
    platform: str = "tensorflow"


@dataclass(frozen=True)
class MonitoringConfig:
    """Whether, and under which path, metrics are shown."""

    enabled: bool = False
    path: str = DEFAULT_METRICS_PATH


def initial_models(flags: ServerFlags) -> list[ModelConfig]:
    """The models that the flags name, from the config file where one is given.

    Raises:
        TerminalError: The config file cannot be read or is wrong.
    """
    if flags.model_config_file:
        return parse_model_config(_read(flags.model_config_file), flags.model_config_file)
    return [ModelConfig(flags.model_name, _absolute(flags.model_base_path))]


def parse_model_config(text: str, file: str) -> list[ModelConfig]:
    """Reads a ``ModelServerConfig`` text proto.

    Args:
        text: The file's content.
        file: The file's name, for messages.

    Raises:
        TerminalError: Not a ModelServerConfig, or one that TensorFlow Serving refuses: a model
            listed twice, a relative base path, no model_platform. ``subject`` is the file.
    """
    from tensorflow_serving.config import model_server_config_pb2

    message = _parse(text, model_server_config_pb2.ModelServerConfig(), file)
    if message.HasField("custom_model_config"):
        raise _wrong(file, "custom_model_config is not supported", "Use model_config_list.")
    models = [_model(entry, file) for entry in message.model_config_list.config]
    for model in models:
        if sum(other.name == model.name for other in models) > 1:
            raise _wrong(
                file,
                f"Illegal to list model {model.name} multiple times in config list",
                "Keep one config entry per model name.",
            )
    return models


def read_monitoring_config(flags: ServerFlags) -> MonitoringConfig:
    """Reads the file named by ``--monitoring_config_file``; without one, metrics are off.

    Raises:
        TerminalError: The file cannot be read or is no MonitoringConfig.
    """
    file = flags.monitoring_config_file
    if not file:
        return MonitoringConfig()
    prometheus = _parse(_read(file), _monitoring_message()(), file).prometheus_config
    return MonitoringConfig(prometheus.enable, prometheus.path or DEFAULT_METRICS_PATH)


def _model(entry: Any, file: str) -> ModelConfig:
    if not entry.name:
        raise _wrong(file, "a config entry has no name", 'Add name: "...".')
    if not entry.model_platform and not entry.model_type:
        raise _wrong(
            file,
            f"model {entry.name} sets neither model_type (deprecated) nor model_platform",
            'Add model_platform: "tensorflow".',
        )
    if not entry.base_path.startswith("/") and "://" not in entry.base_path:
        raise _wrong(
            file,
            f"Expected model {entry.name} to have an absolute path or URI; "
            f"got base_path()={entry.base_path}",
            "Write the whole path, or s3:// or gs://bucket/prefix/model.",
        )
    return ModelConfig(
        entry.name,
        entry.base_path,
        _policy(entry.model_version_policy),
        dict(entry.version_labels),
        entry.model_platform or "tensorflow",
    )


def _policy(message: Any) -> VersionPolicy:
    choice = message.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy("all")
    if choice == "specific":
        return VersionPolicy("specific", versions=frozenset(message.specific.versions))
    return VersionPolicy("latest", count=message.latest.num_versions)


def _parse(text: str, message: Any, file: str) -> Any:
    from google.protobuf import text_format

    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise _wrong(
            file,
            f"it is no {message.DESCRIPTOR.name} text proto: {error}",
            "Correct the named line and column.",
        ) from error


@cache
def _monitoring_message() -> Any:
    # tensorflow-serving-api ships no monitoring_config_pb2, so its two messages are declared here
    # with the field numbers of tensorflow_serving/config/monitoring_config.proto.
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name="slipway/monitoring_config.proto", package="slipway.serving", syntax="proto3"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    prometheus = file.message_type.add(name="PrometheusConfig")
    prometheus.field.add(name="enable", number=1, type=kinds.TYPE_BOOL, label=kinds.LABEL_OPTIONAL)
    prometheus.field.add(name="path", number=2, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    monitoring = file.message_type.add(name="MonitoringConfig")
    monitoring.field.add(
        name="prometheus_config",
        number=1,
        type=kinds.TYPE_MESSAGE,
        type_name=".slipway.serving.PrometheusConfig",
        label=kinds.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("slipway.serving.MonitoringConfig")
    return message_factory.GetMessageClass(found)


def _absolute(base_path: str) -> str:
    return base_path if "://" in base_path else str(Path(base_path).absolute())


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(
            file, f"it cannot be read: {error}", "Check the path and its rights."
        ) from error


def _wrong(file: str, problem: str, hint: str) -> TerminalError:
    return TerminalError(f"Config file {file}: {problem}.", hint=hint, subject=file)
