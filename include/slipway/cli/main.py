"""All commands in one application."""

from __future__ import annotations

import typer

from slipway.cli.building import building
from slipway.cli.serving import serving
from slipway.cli.specs import specs
from slipway.cli.sync import following
from slipway.cli.upkeep import upkeep

app = typer.Typer(
    help="From TensorFlow training to healthy serving, declared in one YAML per model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for commands in (specs, building, upkeep, serving, following):
    app.add_typer(commands)
