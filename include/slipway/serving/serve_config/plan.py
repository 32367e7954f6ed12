"""From a published model and a server version to everything that a server must be given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from slipway.errors import TerminalError
from slipway.serving.serve_config.table import (
    LOCAL_POLL_SECONDS,
    VARIABLES,
    parse_release,
    reading,
    tf_trt_tag,
    tflite_flag,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.serving.serve_config.table import Reading

CredentialsBy = Literal["environment", "file", "platform"]

CONFIG_FOLDER = "/serving"
FOLLOWED_FOLDER = "/models"
CREDENTIALS_FILE = "/run/secrets/bucket-credentials"
REST_PORT = 8501
GRPC_PORT = 8500
METRICS_PATH = "/monitoring/prometheus/metrics"
IMAGE = "tensorflow/serving"
# What a server that cannot load a version says so within; the defaults take five minutes.
_LOAD_RETRY_MICROS = 1_000_000


@dataclass(frozen=True)
class Options:
    """What the model's address does not say.

    Attributes:
        server_version: As the tag of TensorFlow Serving's image.
        credentials: "environment": variables, of which the files name only the names; "file": a
            mounted file; "platform": the identity of the machine or pod.
        endpoint_url: Of an S3 server that is not AWS.
        region: The bucket's region.
        poll_seconds: Interval of the server's looks at its base path; None: as fits the storage.
        latest: How many of the newest versions to serve, unless `labels` names versions.
        labels: Version labels; the server then serves exactly these versions.
        batching: Whether to collect requests into batches.
        max_batch_size: Largest batch.
        batch_timeout_micros: Longest wait for a batch to fill, in microseconds.
        monitoring: Whether metrics are shown to Prometheus.
        sync: Follow a synchronised folder also where the server could read the bucket itself.
        prefer_tflite_model: Load model.tflite where it is.
        tf_trt: The versions have engines of TF-TRT, which a GPU image must load.
    """

    server_version: str
    credentials: CredentialsBy = "environment"
    endpoint_url: str | None = None
    region: str | None = None
    poll_seconds: int | None = None
    latest: int = 1
    labels: Mapping[str, int] = field(default_factory=dict)
    batching: bool = False
    max_batch_size: int = 32
    batch_timeout_micros: int = 1000
    monitoring: bool = True
    sync: bool = False
    prefer_tflite_model: bool = False
    tf_trt: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything that a server must be given.

    Attributes:
        model: The model's name.
        base_uri: Where its versions are published, without the model.
        reading: How the server gets at them.
        base_path: What the server is told to follow.
        flags: For `tensorflow_model_server`.
        environment: For whoever reads the bucket; a secret has the value None: whoever starts it
            takes that from its own environment.
        options: From which this was made.
    """

    model: str
    base_uri: str
    reading: Reading
    base_path: str
    flags: tuple[str, ...]
    environment: Mapping[str, str | None]
    options: Options

    @property
    def bucket(self) -> str:
        """Where the model's versions are published."""
        return f"{self.base_uri}/{self.model}"

    @property
    def image(self) -> str:
        """TensorFlow Serving's image."""
        version = self.options.server_version
        return f"{IMAGE}:{tf_trt_tag(version) if self.options.tf_trt else version}"

    @property
    def gpu(self) -> bool:
        """Whether the container must be given a GPU."""
        return self.image.endswith("-gpu")

    @property
    def source_folder(self) -> str | None:
        """The host's folder with the versions; None for a bucket."""
        if self.reading.scheme != "file":
            return None
        return unquote(self.base_uri.removeprefix("file://"))


def plan(model: str, base_uri: str, options: Options) -> Plan:
    """Decides how a server follows a published model.

    Args:
        model: The model's name.
        base_uri: Where its versions are published, without the model.
        options: The rest.

    Raises:
        TerminalError: The server's version is none or too old, cannot load the TFLite or the
            engines that shall be served, or nothing is known of the storage; `subject` is the
            field.
    """
    release = parse_release(options.server_version)
    if options.tf_trt:
        tf_trt_tag(options.server_version)
    base_uri = _absolute(base_uri.rstrip("/"))
    way = reading(base_uri, release)
    if options.sync and way.scheme != "file":
        way = replace(way, way="sync", poll_seconds=LOCAL_POLL_SECONDS)
    _possible(options, way)
    direct = way.way == "direct" and way.scheme != "file"
    base_path = f"{base_uri if direct else FOLLOWED_FOLDER}/{model}"
    poll = way.poll_seconds if options.poll_seconds is None else options.poll_seconds
    flags = [
        f"--port={GRPC_PORT}",
        f"--rest_api_port={REST_PORT}",
        f"--model_config_file={CONFIG_FOLDER}/models.config",
        f"--model_config_file_poll_wait_seconds={LOCAL_POLL_SECONDS}",
        f"--file_system_poll_wait_seconds={poll}",
        "--allow_version_labels_for_unavailable_models=true",
        "--max_num_load_retries=1" if not direct else "--max_num_load_retries=5",
        f"--load_retry_interval_micros={_LOAD_RETRY_MICROS * (1 if not direct else 30)}",
    ]
    if options.monitoring:
        flags.append(f"--monitoring_config_file={CONFIG_FOLDER}/monitoring.config")
    if options.batching:
        flags.append("--enable_batching=true")
        flags.append(f"--batching_parameters_file={CONFIG_FOLDER}/batching.config")
    if options.prefer_tflite_model:
        flags.append(f"--{tflite_flag(release)}=true")
    environment = _environment(options, way)
    return Plan(model, base_uri, way, base_path, tuple(flags), environment, options)


def _absolute(base_uri: str) -> str:
    return base_uri if "://" in base_uri else Path(base_uri).absolute().as_uri()


def _possible(options: Options, way: Reading) -> None:
    if way.scheme == "gs" and options.credentials == "environment":
        raise TerminalError(
            "Google Cloud Storage takes no credentials from the environment.",
            hint="Use --credentials file (a service account file) or platform (workload identity).",
            subject="credentials",
        )
    if options.poll_seconds is not None and options.poll_seconds < 1:
        raise TerminalError(
            f"A poll interval of {options.poll_seconds} s would never show a new version.",
            hint="Give 1 or more; 0 means once and less means never to TensorFlow Serving.",
            subject="poll_seconds",
        )


def _environment(options: Options, way: Reading) -> dict[str, str | None]:
    if way.scheme == "file":
        return {}
    found: dict[str, str | None] = {}
    if way.scheme == "gs":
        if options.credentials == "file":
            found["GOOGLE_APPLICATION_CREDENTIALS"] = CREDENTIALS_FILE
        return found
    if options.credentials == "environment":
        found |= {each.name: None for each in VARIABLES if each.scheme == "s3" and each.secret}
    elif options.credentials == "file":
        found["AWS_SHARED_CREDENTIALS_FILE"] = CREDENTIALS_FILE
    if options.region:
        found["AWS_REGION"] = options.region
    if options.endpoint_url and way.way == "direct":
        address = urlsplit(options.endpoint_url)
        found["S3_ENDPOINT"] = address.netloc
        found["S3_USE_HTTPS"] = "0" if address.scheme == "http" else "1"
        found["S3_VERIFY_SSL"] = "0" if address.scheme == "http" else "1"
    elif options.endpoint_url:
        found["AWS_ENDPOINT_URL"] = options.endpoint_url
    return found
