"""What Triton needs to serve a published model: how it is started, and what it is told to load."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from slipway.errors import TerminalError
from slipway.serving.catalog import list_versions
from slipway.serving.layout import Layout
from slipway.serving.triton import load_request, version_config

if TYPE_CHECKING:
    from collections.abc import Collection

    from slipway.storage import Store

HTTP_PORT, GRPC_PORT, METRICS_PORT = 8000, 8001, 8002
_REPOSITORY = "/models"
_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True)
class TritonPlan:
    """How Triton follows a published model.

    Attributes:
        model: The model's name.
        base_uri: Where its versions are published, without the model.
        endpoint_url: Of an S3 server that is not AWS.
        region: The bucket's region.
    """

    model: str
    base_uri: str
    endpoint_url: str | None = None
    region: str | None = None

    @property
    def repository(self) -> str:
        """The model repository, as Triton writes addresses."""
        scheme, _, rest = self.base_uri.partition("://")
        if scheme == "file":
            return _REPOSITORY
        if scheme == "s3" and self.endpoint_url:
            address = urlsplit(self.endpoint_url)
            port = address.port or (443 if address.scheme == "https" else 80)
            return f"s3://{address.scheme}://{address.hostname}:{port}/{rest}"
        return self.base_uri

    @property
    def flags(self) -> tuple[str, ...]:
        """For `tritonserver`."""
        return (
            f"--model-repository={self.repository}",
            "--model-control-mode=explicit",
            "--disable-auto-complete-config",
            f"--http-port={HTTP_PORT}",
            f"--grpc-port={GRPC_PORT}",
            f"--metrics-port={METRICS_PORT}",
        )


def triton_files(plan: TritonPlan, store: Store, versions: Collection[int]) -> dict[str, str]:
    """Every file by its name, ready to be written into one folder.

    Args:
        plan: How Triton follows the model.
        store: Open at the base URI.
        versions: To load; none: the newest that is published.

    Raises:
        TerminalError: No version is published, one was not published for Triton, or they are of
            more than one kind, which Triton does not serve under one name.
    """
    wanted = sorted(versions) or [_newest(store, plan.model)]
    texts = {version_config(store, plan.model, version) for version in wanted}
    if len(texts) > 1:
        raise TerminalError(
            f"{plan.model}: the versions {', '.join(map(str, wanted))} have different configs, and "
            "Triton serves a model by one",
            hint="promote or withdraw one of them first, then load the other alone",
            subject=Layout(plan.model).config_pbtxt,
        )
    [text] = texts
    body = json.dumps(load_request(text, wanted), indent=1)
    return {"run.sh": _run(plan), "load.json": f"{body}\n", "load.sh": _load(plan)}


def _run(plan: TritonPlan) -> str:
    command = ["docker", "run", "--detach", "--restart", "unless-stopped", "--gpus", "all"]
    command += ["--name", f"{plan.model}-triton"]
    for port in (HTTP_PORT, GRPC_PORT, METRICS_PORT):
        command += ["--publish", f"127.0.0.1:{port}:{port}"]
    if plan.base_uri.startswith("file://"):
        folder = unquote(plan.base_uri.removeprefix("file://"))
        command += ["--volume", f"{folder}:{_REPOSITORY}:ro"]
    if plan.base_uri.startswith("s3://"):
        for name in _SECRETS:
            command += ["--env", name]
        if plan.region:
            command += ["--env", f"AWS_DEFAULT_REGION={plan.region}"]
    words = [shlex.quote(word) for word in command]
    words.append('"${TRITON_IMAGE:?name the image of Triton}"')
    words += [shlex.quote(word) for word in ("tritonserver", *plan.flags)]
    return "\n".join(["#!/bin/sh", "set -eu", " ".join(words), ""])


def _load(plan: TritonPlan) -> str:
    address = f"http://127.0.0.1:{HTTP_PORT}/v2/repository/models/{plan.model}/load"
    command = ["curl", "--fail-with-body", "--silent", "--show-error", "--json", "@load.json"]
    return f"#!/bin/sh\n# Run it in its own folder.\nset -eu\n{shlex.join(command)} {address}\n"


def _newest(store: Store, model: str) -> int:
    published = [one.version for one in list_versions(store, model) if one.state == "published"]
    if not published:
        raise TerminalError(
            f"no version of {model} is published at {store.uri}",
            hint="build it first; Triton is told to load what there is",
            subject=model,
        )
    return published[0]
