"""The flags of the model server, in TensorFlow Serving's spelling and with its defaults."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class ServerFlags:
    """What the server was told to do. Names, units and defaults are TensorFlow Serving's.

    ``rest_api_host`` and ``model_cache_dir`` are Slipway's own: TensorFlow Serving listens on
    every interface and reads ``s3://`` base paths only up to 2.6. The cache is of one server at a
    time; without it, downloads lie in a temporary folder.
    """

    port: int = 8500
    rest_api_port: int = 0
    rest_api_host: str = "127.0.0.1"
    rest_api_num_threads: int = 0
    rest_api_timeout_in_ms: int = 30_000
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: int = 0
    file_system_poll_wait_seconds: int = 1
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    num_load_threads: int = 0
    allow_version_labels_for_unavailable_models: bool = False
    monitoring_config_file: str = ""
    prefer_tflite_model: bool = False
    num_tflite_pools: int = 0
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 0
    saved_model_tags: str = "serve"
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    model_cache_dir: str = ""
    ignored: tuple[str, ...] = ()


# TensorFlow Serving knows these and this server does not act on them: they tune gRPC, batching,
# memory or encryption, none of which changes what a REST client is answered.
_IGNORED = frozenset(
    {
        "batching_parameters_file",
        "enable_batching",
        "enable_per_model_batching_parameters",
        "flush_filesystem_caches",
        "grpc_channel_arguments",
        "grpc_max_threads",
        "grpc_socket_path",
        "num_tflite_interpreters_per_pool",
        "num_unload_threads",
        "per_process_gpu_memory_fraction",
        "remove_unused_fields_from_bundle_metagraph",
        "rest_api_enable_cors_support",
    }
)
_TYPES: dict[str, str] = {f.name: str(f.type) for f in fields(ServerFlags) if f.name != "ignored"}


def parse_flags(argv: Sequence[str]) -> ServerFlags:
    """Reads command line flags.

    Args:
        argv: Arguments without the program's name: ``--flag=value``; a bare ``--flag`` is true.

    Raises:
        TerminalError: An unknown flag (the nearest one is named), a value of the wrong type, or
            no model to serve. ``subject`` is the flag.
    """
    values: dict[str, int | bool | str] = {}
    ignored: list[str] = []
    for argument in argv:
        name, separator, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--"):
            raise TerminalError(
                f"Unknown argument {argument!r}.",
                hint="Flags are written --flag=value, with an equals sign and no space.",
                subject=argument,
            )
        if name in _IGNORED:
            ignored.append(name)
            continue
        values[name] = _value(name, text if separator else None)
    flags = ServerFlags(**values, ignored=tuple(ignored))  # type: ignore[arg-type]  # checked by _value
    _require_models(flags)
    return flags


def _value(name: str, text: str | None) -> int | bool | str:
    kind = _TYPES.get(name)
    if kind is None:
        raise TerminalError(f"Unknown flag --{name}.", hint=_nearest(name), subject=name)
    if kind == "bool":
        return _boolean(name, text)
    if text is None:
        raise TerminalError(
            f"Flag --{name} has no value.", hint=f"Write --{name}=VALUE.", subject=name
        )
    if kind == "str":
        return text
    try:
        return int(text)
    except ValueError:
        raise TerminalError(
            f"Flag --{name} is {text!r}, not a whole number.",
            hint=f"Write --{name}=NUMBER.",
            subject=name,
        ) from None


def _boolean(name: str, text: str | None) -> bool:
    lowered = "true" if text is None else text.lower()
    if lowered in {"true", "1"}:
        return True
    if lowered in {"false", "0"}:
        return False
    raise TerminalError(
        f"Flag --{name} is {text!r}, neither true nor false.",
        hint=f"Write --{name}=true or --{name}=false.",
        subject=name,
    )


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, [*_TYPES, *_IGNORED], n=1, cutoff=0.0)
    return f"The nearest flag is --{near[0]}."


def _require_models(flags: ServerFlags) -> None:
    if not flags.model_config_file and not flags.model_base_path:
        raise TerminalError(
            "There is no model to serve.",
            hint="Give --model_base_path (with --model_name) or --model_config_file.",
            subject="model_base_path",
        )
