"""Commands for whoever runs a model server."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import Annotated

import typer

from slipway.cli.base import JsonOption, clear_errors, print_json
from slipway.cli.published import Published, PublishedArgument, find_published
from slipway.console import console
from slipway.serving.serve_config.plan import Options, Plan, plan
from slipway.serving.serve_config.render import files, models_config, run_script
from slipway.serving.serve_config.table import DEFAULT_VERSION
from slipway.serving.serve_config.triton import TritonPlan, triton_files

serving = typer.Typer()


class Server(StrEnum):
    """The model server."""

    tensorflow_serving = "tensorflow_serving"
    triton = "triton"


class CredentialsBy(StrEnum):
    """How whoever reads the bucket is told who it is."""

    environment = "environment"
    file = "file"
    platform = "platform"


@serving.command("serve-config")
def serve_config(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    model: PublishedArgument,
    server_version: Annotated[
        str | None,
        typer.Option(
            help=f"Tag of TensorFlow Serving's image; default: serve.version, or {DEFAULT_VERSION}."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write the files to.")] = None,
    credentials: Annotated[
        CredentialsBy | None, typer.Option(help="Default: environment; platform for gs://.")
    ] = None,
    endpoint_url: Annotated[
        str | None, typer.Option(help="Of an S3 server that is not AWS.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="The bucket's region.")] = None,
    poll_seconds: Annotated[
        int | None, typer.Option(help="Between two looks of the server; default: by storage.")
    ] = None,
    latest: Annotated[int, typer.Option(min=1, help="How many newest versions to serve.")] = 1,
    channels: Annotated[
        bool, typer.Option("--channels", help="Serve what stable and canary point to, labelled.")
    ] = False,
    batching: Annotated[bool, typer.Option("--batching", help="Collect requests.")] = False,
    monitoring: Annotated[bool, typer.Option(help="Show metrics to Prometheus.")] = True,
    sync: Annotated[
        bool, typer.Option("--sync", help="Use slipway sync where the server could do without.")
    ] = False,
    prefer_tflite: Annotated[
        bool | None, typer.Option(help="Load model.tflite where it is; default: the spec's.")
    ] = None,
    tf_trt: Annotated[
        bool, typer.Option("--tf-trt", help="Versions with engines of TF-TRT: a -gpu image.")
    ] = False,
    server: Annotated[
        Server | None, typer.Option(help="Default: the spec's; tensorflow_serving.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write what a model server needs to follow a model's bucket."""
    with clear_errors(as_json=as_json):
        published = find_published(model)
        if (server.value if server else published.server) == "triton":
            plan_ = TritonPlan(published.model, published.base_uri, endpoint_url, region)
            labels = _labels(published) if channels else {}
            found = triton_files(plan_, published.open(), set(labels.values()))
            _give(found, out, {"model": published.model, "files": found}, as_json=as_json)
            return
        by = credentials or _by_default(published.base_uri)
        if prefer_tflite is None:
            prefer_tflite = bool(published.prefer_tflite_model)
        options = Options(
            server_version=server_version or published.server_version or DEFAULT_VERSION,
            credentials=by.value,
            endpoint_url=endpoint_url,
            region=region,
            poll_seconds=poll_seconds,
            latest=latest,
            labels=_labels(published) if channels else {},
            batching=batching,
            monitoring=monitoring,
            sync=sync or published.reads == "sync",
            prefer_tflite_model=prefer_tflite,
            tf_trt=tf_trt,
        )
        planned = plan(published.model, published.base_uri, options)
    written = files(planned)
    shown = {"models.config": models_config(planned), "run.sh": run_script(planned)}
    _give(written, out, _as_json(planned, written), as_json=as_json, shown=shown)


def _give(
    written: dict[str, str],
    out: Path | None,
    facts: dict[str, object],
    *,
    as_json: bool,
    shown: dict[str, str] | None = None,
) -> None:
    """Write the files, and say so; or show them."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            (out / name).write_text(text, "utf-8")
            if name.endswith(".sh"):
                (out / name).chmod(0o755)
    if as_json:
        print_json(facts)
    elif out is not None:
        console.print(f"wrote {', '.join(written)} to {out}", soft_wrap=True)
    else:
        for text in (shown or written).values():
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def _by_default(base_uri: str) -> CredentialsBy:
    google = base_uri.startswith("gs://")
    return CredentialsBy.platform if google else CredentialsBy.environment


def _labels(published: Published) -> dict[str, int]:
    """Which version each channel points to now."""
    from slipway.serving.channels import read_channel

    store = published.open()
    found = {"stable": read_channel(store, published.model, "stable")}
    found["canary"] = read_channel(store, published.model, "canary")
    return {name: c.version for name, c in found.items() if c is not None and c.version}


def _as_json(planned: Plan, written: dict[str, str]) -> dict[str, object]:
    return {
        "model": planned.model,
        "way": planned.reading.way,
        "base_path": planned.base_path,
        "poll_seconds": next(
            int(flag.partition("=")[2])
            for flag in planned.flags
            if flag.startswith("--file_system_poll_wait_seconds=")
        ),
        "image": planned.image,
        "flags": list(planned.flags),
        "environment": dict(planned.environment),
        "sources": list(planned.reading.sources),
        "files": written,
    }


@serving.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def serve(context: typer.Context) -> None:
    """Run the local model server; it takes the flags of tensorflow_model_server."""
    from slipway.serving.server.__main__ import main as serve_main

    with clear_errors():
        raise typer.Exit(serve_main(context.args))
