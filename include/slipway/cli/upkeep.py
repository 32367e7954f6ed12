"""Commands for what is published: list it, check it, tidy it up, adopt into it."""

from __future__ import annotations

import getpass
import os
import re
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from slipway.cli.base import JsonOption, clear_errors, print_json
from slipway.cli.published import PublishedArgument, find_published
from slipway.console import console, errors
from slipway.errors import TerminalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from slipway.serving.catalog import VersionInfo
    from slipway.serving.upkeep.findings import Finding
    from slipway.serving.upkeep.gc import Removal

upkeep = typer.Typer()

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Change nothing, say what would.")]

_WIDE = 200
_STYLE = {"error": "red", "warning": "yellow", "note": "dim"}
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@upkeep.command()
def versions(model: PublishedArgument, as_json: JsonOption = False) -> None:
    """List the published versions of a model: sizes, digests, channels, metrics."""
    from slipway.serving.catalog import list_versions

    with clear_errors(as_json=as_json):
        published = find_published(model)
        store = published.open()
        found = list_versions(store, published.model)
    if as_json:
        print_json([version.model_dump(mode="json") for version in found])
        return
    if not found:
        console.print(f"nothing is published at {store.uri}/{published.model}", soft_wrap=True)
        return
    # Cut to a terminal's width only on a terminal.
    console.print(_versions_table(found), width=None if console.is_terminal else _WIDE)
    for info in found:
        if info.metrics:
            metrics = ", ".join(f"{name} {value:.4g}" for name, value in info.metrics.items())
            console.print(f"{info.version}: {metrics}", highlight=False, soft_wrap=True)


def _versions_table(found: Sequence[VersionInfo]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("version", "channels", "variant", "size", "digest", "state", "created"):
        right = heading in {"version", "size"}
        table.add_column(heading, no_wrap=True, justify="right" if right else "left")
    for info in found:
        table.add_row(
            str(info.version),
            ", ".join(info.channels),
            info.variant,
            decimal(info.size_bytes),
            info.digest[:12],
            info.state,
            f"{info.created_at:%Y-%m-%d %H:%M}" if info.created_at else "",
        )
    return table


@upkeep.command()
def gc(
    model: PublishedArgument,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Newest versions that stay; default: the spec's; 5.")
    ] = None,
    leftovers_older_than: Annotated[
        str, typer.Option(help="Age at which a silent publisher counts as dead: 90m, 24h, 7d.")
    ] = "24h",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Remove old versions and what dead publishers left; channels and foreign content stay."""
    from slipway.serving.upkeep.gc import collect

    with clear_errors(as_json=as_json):
        published = find_published(model)
        report = collect(
            published.open(),
            published.model,
            keep or published.keep_versions,
            leftovers_older_than=_age(leftovers_older_than),
            dry_run=dry_run,
            progress=None if as_json else _say_removal,
        )
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    if dry_run:
        for removal in report.removed:
            _say_removal(removal)
    for removal in report.waiting:
        console.print(f"not old enough: {removal.path} ({removal.kind})", highlight=False)
    did = "would go" if dry_run else "went"
    kept = ", ".join(str(version) for version in report.kept) or "none"
    console.print(
        f"{len(report.removed)} {did}, {decimal(report.freed_bytes)}; these stay: {kept}",
        highlight=False,
        soft_wrap=True,
    )


@upkeep.command()
def fsck(
    model: PublishedArgument,
    deep: Annotated[bool, typer.Option("--deep", help="Read every byte, compare sha256.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what is safe to mend.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check what is published; exits 1 while a problem remains."""
    from slipway.serving.upkeep.fsck import check
    from slipway.serving.upkeep.repair import repair as mend

    with clear_errors(as_json=as_json):
        published = find_published(model)
        store = published.open()
        with _reading("reading", shown=deep and not as_json) as progress:
            report = check(store, published.model, deep=deep, progress=progress)
        if repair:
            report = mend(store, report)
    if as_json:
        print_json(report.model_dump(mode="json") | {"problems": len(report.problems)})
    else:
        for one in report.findings:
            _say_finding(one)
        console.print(
            f"{report.versions} versions, {len(report.findings)} findings, "
            f"{len(report.problems)} problems remain"
        )
    if report.problems:
        raise typer.Exit(1)


@upkeep.command()
def adopt(
    model: PublishedArgument,
    version: Annotated[int, typer.Option(min=1, help="The folder that was copied by hand.")],
    variant: Annotated[str, typer.Option(help="What to call it.")] = "adopted",
    allow: Annotated[
        list[str] | None, typer.Option(help="Operation that its graph may hold; may be repeated.")
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a version of a folder that was copied into the bucket by hand."""
    from slipway.serving.upkeep.adopt import adopt as take_in

    with clear_errors(as_json=as_json):
        require_safe_copy = _scanner()
        published = find_published(model)
        allowed = {*published.allow_operations, *(allow or ())}
        with _reading("reading", shown=not as_json) as progress:
            done = take_in(
                published.open(),
                published.model,
                version,
                variant=variant,
                by=f"adopted by {_person()}",
                dry_run=dry_run,
                progress=progress,
                prove=partial(require_safe_copy, allow=allowed),
            )
    if as_json:
        shown = done.manifest.model_dump(mode="json")
        print_json({"adopted": not dry_run, "already": done.already_adopted, "manifest": shown})
        return
    files = f"{len(done.manifest.files)} files, {decimal(done.manifest.size_bytes)}"
    state = "could be adopted" if dry_run else "was adopted before"
    state = state if dry_run or done.already_adopted else "is adopted"
    console.print(f"version {version} {state}: {files}, digest {done.manifest.digest[:12]}")


def _scanner() -> Callable[..., Any]:
    """What proves that a graph does no harm: TensorFlow's own messages are read for it."""
    if find_spec("tensorflow") is None:
        raise TerminalError(
            "adopt reads the graph of what it takes in, which needs TensorFlow.",
            hint="Adopt where Slipway is installed with TensorFlow, or by the DAG <model>__adopt.",
            subject="tensorflow",
        )
    from slipway.modelling.untrusted import require_safe_copy

    return require_safe_copy


def _person() -> str:
    """Who runs this; a container's user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"([0-9]+)([mhd])", text)
    if match is None:
        raise TerminalError(
            f"--leftovers-older-than is {text!r}, which is no age.",
            hint="Write a whole number and m, h or d: 90m, 24h, 7d.",
            subject="leftovers_older_than",
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _say_removal(removal: Removal) -> None:
    size = decimal(removal.size_bytes)
    line = f"{removal.path}: {removal.kind}, {size}; {removal.why}"
    console.print(line, highlight=False, soft_wrap=True)


def _say_finding(one: Finding) -> None:
    state = "[green]mended[/] " if one.repaired else ""
    head = f"{state}[{_STYLE[one.severity]}]{one.severity}[/] {one.kind} {one.path}: {one.what}"
    console.print(head, highlight=False, soft_wrap=True)
    if not one.repaired:
        console.print(f"  {one.means}", highlight=False, soft_wrap=True)
        left = f" (not mended: {one.left})" if one.left and one.is_problem else ""
        console.print(f"  -> {one.do}{left}", highlight=False, soft_wrap=True)


@contextmanager
def _reading(what: str, *, shown: bool) -> Iterator[Callable[[int, int], Any] | None]:
    if not shown or not errors.is_terminal:
        yield None
        return
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
