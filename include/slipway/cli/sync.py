"""`slipway sync` on the command line."""

from __future__ import annotations

import logging
import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import Annotated

import typer

from slipway.cli.base import clear_errors

following = typer.Typer()


@following.command()
def sync(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    address: Annotated[str, typer.Argument(help="What to follow: s3://bucket/prefix/model.")],
    folder: Annotated[Path, typer.Argument(help="The base path of the model server.")],
    keep: Annotated[
        int, typer.Option(min=1, help="How many versions to have beside those of the channels.")
    ] = 2,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two polls.")] = 10.0,
    once: Annotated[
        bool, typer.Option("--once", help="Bring the folder in step and exit, as init container.")
    ] = False,
    version: Annotated[
        int | None, typer.Option(min=1, help="Have just this version, and delete none.")
    ] = None,
    triton: Annotated[
        bool,
        typer.Option(
            "--triton",
            help="With --once and --version: also the version's config.pbtxt, for Triton.",
        ),
    ] = False,
    status_url: Annotated[
        str | None,
        typer.Option(
            help="Status page of the server that reads the folder, http://host:8501/v1/models/NAME:"
            " what it uses is not deleted."
        ),
    ] = None,
    reserve_mb: Annotated[
        float, typer.Option(min=0, help="Megabytes to leave free on the disk.")
    ] = 64.0,
    host: Annotated[
        str, typer.Option(help="Where /healthz, /readyz and /metrics answer.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Their port; 0: any free.")] = 9180,
) -> None:
    """Follow a published model: a local folder that is always whole, for servers without S3."""
    from slipway.serving.sync.command import follow, sync_once
    from slipway.serving.sync.follower import Policy

    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    policy = Policy(
        keep=keep,
        interval=interval,
        reserve_bytes=int(reserve_mb * 1e6),
        status_url=status_url,
        only=version,
    )
    if triton and not (once and version):
        raise typer.BadParameter("it needs --once and --version", param_hint="--triton")
    with clear_errors():
        if once:
            sync_once(address, folder.absolute(), policy, triton=triton)
        else:
            follow(address, folder.absolute(), policy, host, port)
