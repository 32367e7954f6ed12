"""A plan as files: text protos, a shell script with `docker run`, a compose file."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import yaml

from slipway.serving.serve_config.plan import (
    CONFIG_FOLDER,
    CREDENTIALS_FILE,
    FOLLOWED_FOLDER,
    GRPC_PORT,
    METRICS_PATH,
    REST_PORT,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from slipway.serving.serve_config.plan import Plan

SYNC_IMAGE = "slipway"
_VOLUME = "models"
_ALIVE = "import urllib.request as r; r.urlopen('http://127.0.0.1:9180/healthz')"


def files(plan: Plan) -> dict[str, str]:
    """Every file by its name, ready to be written into one folder."""
    found = {"models.config": models_config(plan)}
    if plan.options.monitoring:
        found["monitoring.config"] = monitoring_config()
    if plan.options.batching:
        found["batching.config"] = batching_config(plan)
    found["run.sh"] = run_script(plan)
    found["compose.yaml"] = compose(plan)
    return found


def models_config(plan: Plan) -> str:
    """The ModelServerConfig text proto. A rollout replaces the model's entry in it."""
    labels = plan.options.labels
    if labels:
        return specific_versions(plan.model, plan.base_path, labels.values(), labels)
    latest = f"latest {{ num_versions: {plan.options.latest} }}"
    return _models_config(plan.model, plan.base_path, latest, {})


def specific_versions(
    model: str, base_path: str, versions: Collection[int], labels: Mapping[str, int]
) -> str:
    """The ModelServerConfig text proto of a server that serves exactly some versions.

    Without versions it names no model, which a server takes to mean that it serves none.
    """
    if not versions:
        return "model_config_list {\n}\n"
    named = " ".join(f"versions: {version}" for version in sorted(set(versions)))
    return _models_config(model, base_path, f"specific {{ {named} }}", labels)


def _models_config(model: str, base_path: str, policy: str, labels: Mapping[str, int]) -> str:
    lines = [
        "model_config_list {",
        "  config {",
        f"    name: {json.dumps(model)}",
        f"    base_path: {json.dumps(base_path)}",
        '    model_platform: "tensorflow"',
        f"    model_version_policy {{ {policy} }}",
    ]
    for label, version in sorted(labels.items()):
        lines.append(f"    version_labels {{ key: {json.dumps(label)} value: {version} }}")
    return "\n".join([*lines, "  }", "}", ""])


def monitoring_config() -> str:
    """The MonitoringConfig text proto."""
    return f'prometheus_config {{ enable: true, path: "{METRICS_PATH}" }}\n'


def batching_config(plan: Plan) -> str:
    """The BatchingParameters text proto."""
    options = plan.options
    return (
        f"max_batch_size {{ value: {options.max_batch_size} }}\n"
        f"batch_timeout_micros {{ value: {options.batch_timeout_micros} }}\n"
    )


def sync_command(plan: Plan, server: str) -> list[str]:
    """What keeps a folder in step with the bucket, and with what the server has loaded of it."""
    folder = f"{FOLLOWED_FOLDER}/{plan.model}"
    command = ["sync", plan.bucket, folder, "--host", "0.0.0.0"]  # noqa: S104 - in a container
    if plan.options.latest > 1:
        # One more than is served, so that the server never reads what goes.
        command += ["--keep", str(plan.options.latest + 1)]
    return [*command, "--status-url", f"http://{server}:{REST_PORT}/v1/models/{plan.model}"]


def run_script(plan: Plan) -> str:
    """A shell script with one `docker run` a container; secrets come from its environment."""
    lines = ["#!/bin/sh", "# Run it in its own folder.", "set -eu"]
    name = f"{plan.model}-serving"
    syncing = plan.reading.way == "sync"
    network: list[str] = []
    if syncing:
        # On a network of its own a container is found by its name.
        network = ["--network", f"{plan.model}-network"]
        made = f"docker network create {network[1]}"
        known = f"docker network inspect {network[1]} >/dev/null 2>&1"
        lines += ["", f"docker volume create {_volume(plan)}", f"{known} || {made}"]
        command = ["docker", "run", "--detach", "--restart", "unless-stopped"]
        command += ["--name", f"{plan.model}-sync", *_docker_environment(plan)]
        command += _docker_credentials(plan)
        command += [*network, "--volume", f"{_volume(plan)}:{FOLLOWED_FOLDER}", SYNC_IMAGE]
        lines.append(_shell([*command, "slipway", *sync_command(plan, name)]))
    command = ["docker", "run", "--detach", "--restart", "unless-stopped", "--name", name]
    command += [*network, "--publish", f"127.0.0.1:{REST_PORT}:{REST_PORT}"]
    command += ["--publish", f"127.0.0.1:{GRPC_PORT}:{GRPC_PORT}"]
    if plan.gpu:
        command += ["--gpus", "all"]
    if not syncing:
        command += [*_docker_environment(plan), *_docker_credentials(plan)]
    command += ["--volume", f"$PWD:{CONFIG_FOLDER}:ro"]
    for mount in _models_mount(plan, _volume(plan)):
        command += ["--volume", mount]
    command += ["--entrypoint", "tensorflow_model_server", plan.image, *plan.flags]
    return "\n".join([*lines, _shell(command), ""])


def compose(plan: Plan) -> str:
    """A compose file that does the same."""
    ports = [f"127.0.0.1:{port}:{port}" for port in (REST_PORT, GRPC_PORT)]
    server: dict[str, Any] = {
        "image": plan.image,
        "restart": "unless-stopped",
        "entrypoint": ["tensorflow_model_server"],
        "command": list(plan.flags),
        "ports": ports,
        "volumes": [f".:{CONFIG_FOLDER}:ro", *_models_mount(plan, _VOLUME)],
    }
    if plan.gpu:
        devices = [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
        server["deploy"] = {"resources": {"reservations": {"devices": devices}}}
    services: dict[str, Any] = {"serving": server}
    document: dict[str, Any] = {"services": services}
    reader = server
    if plan.reading.way == "sync":
        reader = {
            "image": SYNC_IMAGE,
            "restart": "unless-stopped",
            "command": ["slipway", *sync_command(plan, "serving")],
            "volumes": [f"{_VOLUME}:{FOLLOWED_FOLDER}"],
            "healthcheck": {"test": ["CMD", "python", "-c", _ALIVE]},
        }
        services["sync"] = reader
        document["volumes"] = {_VOLUME: None}
    if plan.environment:
        reader["environment"] = {
            name: _required(name) if value is None else value
            for name, value in plan.environment.items()
        }
    if _has_file(plan):
        reader["volumes"].append(f"{_required('BUCKET_CREDENTIALS_FILE')}:{CREDENTIALS_FILE}:ro")
    return yaml.safe_dump(document, sort_keys=False)


def _required(name: str) -> str:
    return f"${{{name}:?set it in the environment or in .env}}"


def _has_file(plan: Plan) -> bool:
    return CREDENTIALS_FILE in plan.environment.values()


def _volume(plan: Plan) -> str:
    return f"{plan.model}-models"


def _models_mount(plan: Plan, volume: str) -> list[str]:
    if plan.reading.way == "sync":
        return [f"{volume}:{FOLLOWED_FOLDER}:ro"]
    if plan.source_folder is not None:
        return [f"{plan.source_folder}:{FOLLOWED_FOLDER}:ro"]
    return []


def _docker_environment(plan: Plan) -> list[str]:
    found: list[str] = []
    for name, value in plan.environment.items():
        found += ["--env", name if value is None else f"{name}={value}"]
    return found


def _docker_credentials(plan: Plan) -> list[str]:
    if not _has_file(plan):
        return []
    return ["--volume", f"$BUCKET_CREDENTIALS_FILE:{CREDENTIALS_FILE}:ro"]


def _shell(command: list[str]) -> str:
    """One command over several lines; `$PWD` and the like stay variables."""
    words = [" ".join(command[:2])]
    for word in command[2:]:
        quoted = f'"{word}"' if word.startswith("$") else shlex.quote(word)
        last = words[-1]
        if not word.startswith("-") and last.startswith("--") and not {"=", " "} & set(last):
            words[-1] += f" {quoted}"
        else:
            words.append(quoted)
    return " \\\n  ".join(words)
