"""`slipway render`: what a model is on a cluster, before anything is there."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from slipway.cli.base import SpecArgument, clear_errors, find_spec

rendering = typer.Typer()


class Output(StrEnum):
    """As what objects are printed."""

    yaml = "yaml"
    json = "json"


@rendering.command()
def render(
    model: SpecArgument,
    version: Annotated[int, typer.Option(min=1, help="The version to show the objects of.")] = 1,
    output: Annotated[Output, typer.Option(help="Documents, or one List.")] = Output.yaml,
) -> None:
    """Print what a cluster holds once a version is stable; needs no cluster and no credentials."""
    from slipway.kubernetes import manifests
    from slipway.kubernetes.manifests.text import as_json, as_yaml
    from slipway.spec.loader import load_spec

    with clear_errors():
        objects = manifests.render(load_spec(find_spec(model)), version)
    sys.stdout.write(as_yaml(objects) if output is Output.yaml else as_json(objects))
