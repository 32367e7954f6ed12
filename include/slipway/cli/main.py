"""All commands in one application; a command's module is loaded when the command is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

# name -> "module:application". What other commands need would keep `slipway sync` from its first
# request for longer than the request takes.
COMMANDS = {
    "validate": "specs:specs",
    "doctor": "diagnosing:diagnosing",
    "plan": "specs:specs",
    "schema": "specs:specs",
    "scan": "scanning:scanning",
    "render": "manifests:rendering",
    "run": "building:building",
    "report": "building:building",
    "rollout": "building:building",
    "versions": "upkeep:upkeep",
    "gc": "upkeep:upkeep",
    "fsck": "upkeep:upkeep",
    "adopt": "upkeep:upkeep",
    "events": "events:arriving",
    "serve-config": "serving:serving",
    "serve": "serving:serving",
    "sync": "sync:following",
}


class _Commands(TyperGroup):
    """Finds a command by `COMMANDS`."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """Names all commands, in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Loads a command; for a name that there is not, all of them: one may have been meant."""
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:
            if name not in self.commands:
                module, _, application = COMMANDS[name].partition(":")
                found = getattr(import_module(f"slipway.cli.{module}"), application)
                self.commands.update(get_group(found).commands)
        return super().get_command(ctx, cmd_name)


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """From TensorFlow training to healthy serving, declared in one YAML per model."""
