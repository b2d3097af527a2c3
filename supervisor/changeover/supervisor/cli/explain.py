"""`changeover explain`."""

import time
from collections.abc import Iterator
from functools import partial

import click

from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.cli.history import what
from changeover.supervisor.cli.outcomes import refusal_lines
from changeover.supervisor.cli.overview import clock, table
from changeover.supervisor.cli.showing import as_json_option, show
from changeover.supervisor.control import Explanation, UnitLine
from changeover.supervisor.telemetry.amounts import MOST_NAMED
from changeover.supervisor.telemetry.phrases import by

HELP = """Tell everything that is known of one epoch: every refusal with its whole traceback, every unit, every route.

Exit status: 0 found; 1 the journal does not know it; 5 no server.
"""


@click.command("explain", help=HELP)
@server_options
@click.argument("epoch", type=click.IntRange(0))
@as_json_option
def command(name: str, runtime_dir: str, epoch: int, as_json: bool) -> None:
    """See HELP."""
    with failures():
        laid_out = partial(lines, now=time.time())
        show(server(name, runtime_dir), f"/v1/epochs/{epoch}", Explanation, laid_out, as_json=as_json)


def lines(explanation: Explanation, now: float) -> Iterator[str]:
    """Lay the explanation out; `now` is wall clock."""
    line = explanation.line
    yield f"epoch {line.epoch}  {line.state.value}  given {clock(line.given, now)} by {by(line.origin)}"
    yield f"  {what(line)}"
    if len(line.summary) > MOST_NAMED:
        yield from (f"    {change}" for change in line.summary)
    for refusal in explanation.refusals:
        yield from refusal_lines(refusal, None)
    if explanation.again:
        yield f"  {explanation.again}"
    yield from (f"  {words}" for words in explanation.ended)
    if explanation.units:
        units = [(f"  {unit.unit}", unit.version, unit.digest[:12], str(unit.since)) for unit in explanation.units]
        yield from table((("  unit", "version", "content", "since epoch"), *units))
    yield from (_handlers(unit) for unit in explanation.units if unit.handlers or unit.edited)
    if explanation.listen:
        yield f"  at {', '.join(explanation.listen)}"
    for route in explanation.routes:
        yield f"  route {route} -> pipeline {route.pipeline}"


def _handlers(unit: UnitLine) -> str:
    edited = "  (edited, not as its file said)" if unit.edited else ""
    return f"  {unit.unit}: {', '.join(unit.handlers) or 'no handlers'}{edited}"
