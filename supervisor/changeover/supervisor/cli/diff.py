"""`changeover diff`."""

from collections.abc import Iterator
from urllib.parse import urlencode

import click
import msgspec

from changeover.supervisor.api.client import Client
from changeover.supervisor.cli.exits import Exit, failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.cli.outcomes import refusal_lines
from changeover.supervisor.cli.showing import as_json_option
from changeover.supervisor.comparison import DiffView, UnitDifference, Version
from changeover.supervisor.telemetry.amounts import NOT_TAKEN
from changeover.workers.protocol.snapshot import Route

HELP = """Say what differs between two epochs: units, their versions, content and files, routes, settings.

\b
  changeover diff        what serves, and what is on disk; nothing is taken
  changeover diff 7      epoch 7, and what serves
  changeover diff 7 8    epoch 7, and epoch 8

Exit status: 0 said; 1 the journal does not know an epoch, or what is on disk cannot be served; 5 no server.
"""

DIGITS = 12
"""Digits of a digest that people need."""


@click.command("diff", help=HELP)
@server_options
@click.argument("before", metavar="[A", type=click.IntRange(1), required=False)
@click.argument("after", metavar="[B]]", type=click.IntRange(1), required=False)
@as_json_option
def command(name: str, runtime_dir: str, before: int | None, after: int | None, as_json: bool) -> None:
    """See HELP."""
    named = {"from": before, "to": after}
    query = urlencode({key: epoch for key, epoch in named.items() if epoch is not None})
    with failures():
        client = server(name, runtime_dir)
        view = _print(client, f"/v1/diff?{query}" if query else "/v1/diff", as_json)
    if view.refused:
        raise SystemExit(Exit.REFUSED)


def _print(client: Client, target: str, as_json: bool) -> DiffView:
    view = client.get(target, DiffView)
    if as_json:
        click.echo(msgspec.json.encode(view))
    else:
        for line in lines(view):
            click.echo(line)
    return view


def lines(view: DiffView) -> Iterator[str]:
    """Lay the differences out."""
    there = "on disk" if view.after is None else f"epoch {view.after}"
    if view.refused:
        yield f"epoch {view.before}; what is on disk is refused: {view.refused}"
        for refusal in view.refusals:
            yield from refusal_lines(refusal, None)
    elif view.is_empty:
        but = ", but for what is not taken" if any(note.startswith(NOT_TAKEN) for note in view.notes) else ""
        yield f"epoch {view.before} -> {there}: the same{but}"
    else:
        yield f"epoch {view.before} -> {there}"
    for unit in view.units:
        yield from _unit(unit)
    yield from _routes(view)
    yield from (f"  {setting}" for setting in view.settings)
    yield from (f"  {note}" for note in view.notes)
    if view.units and view.same:
        yield f"  {view.same} other units are the same" if view.same > 1 else "  1 other unit is the same"


def _unit(difference: UnitDifference) -> Iterator[str]:
    match difference.before, difference.after:
        case None, Version() as new:
            yield f"  + {difference.unit}  {_version(new)}"
        case Version() as old, None:
            yield f"  - {difference.unit}  {_version(old)}"
        case Version() as old, Version() as new:
            yield f"  {difference.unit}  {_version(old)} -> {_version(new)}"
    yield from (f"      {change}" for change in difference.changes)
    yield from (f"      file {name}" for name in difference.files)


def _version(version: Version) -> str:
    since = f"since {version.since}" if version.since else ""
    return " ".join(part for part in (version.version, version.digest[:DIGITS], since) if part)


def _routes(view: DiffView) -> Iterator[str]:
    yield from (f"  + route {_route(route)}" for route in view.routes_added)
    yield from (f"  - route {_route(route)}" for route in view.routes_removed)


def _route(route: Route) -> str:
    return f"{route} -> pipeline {route.pipeline}"
