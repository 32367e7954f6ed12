"""The command that shows what arrived for a model, and runs an event again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from slipway.cli.base import JsonOption, clear_errors, print_json
from slipway.cli.published import PublishedArgument, find_published
from slipway.console import console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.events.book import SetAside
    from slipway.events.ledger import Event

arriving = typer.Typer()

_WIDE = 200
_STYLE = {"failed": "red", "refused": "red", "done": "green", "started": "cyan"}


@arriving.command()
def events(
    model: PublishedArgument,
    replay: Annotated[
        str | None, typer.Option(metavar="EVENT", help="Run this event once more.")
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest are shown.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List what arrived for a model and what was decided, and why; or run an event again."""
    from slipway.events.book import read_events, read_set_asides
    from slipway.events.intake import replay as run_again

    with clear_errors(as_json=as_json):
        published = find_published(model)
        store = published.open()
        if replay is not None:
            run_again(store, published.model, replay)
        found = list(read_events(store, published.model).events.values())[-last:]
        aside = read_set_asides(store)[-last:]
    if as_json:
        print_json(
            {
                "events": [event.model_dump(mode="json") for event in found],
                "set_aside": [one.model_dump(mode="json") for one in aside],
            }
        )
        return
    if replay is not None:
        console.print(
            f"{replay} is pending: Airflow's next look at the ledgers starts it, within ten "
            f"minutes; a run of slipway__intake does at once",
            highlight=False,
            soft_wrap=True,
        )
        return
    if not found:
        console.print(f"nothing arrived for {published.model}")
    else:
        # Cut to a terminal's width only on a terminal.
        console.print(_table(found), width=None if console.is_terminal else _WIDE)
    if aside:
        console.print(f"set aside, of all models at {store.uri}:", soft_wrap=True)
        for one in aside:
            _say(one)


def _table(found: Sequence[Event]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("event", "state", "why", "run", "seen", "changed"):
        table.add_column(heading, justify="right" if heading == "seen" else "left")
    for event in found:
        style = _STYLE.get(event.state, "")
        state = f"[{style}]{event.state}[/]" if style else event.state
        changed = f"{event.changed_at:%Y-%m-%d %H:%M:%S}"
        why = escape(_plain(event.reason))
        table.add_row(event.id, state, why, event.run_id or "", str(event.seen), changed)
    return table


def _say(one: SetAside) -> None:
    times = f" ({one.seen} times)" if one.seen > 1 else ""
    line = f"  {one.at:%Y-%m-%d %H:%M:%S} {one.reason}{times}: {one.body[:100]}"
    console.print(_plain(line), highlight=False, markup=False, soft_wrap=True)


def _plain(text: str) -> str:
    """A stranger's text without what a terminal would obey."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
