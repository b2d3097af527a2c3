"""`changeover history`."""

import time
from collections.abc import Iterator

import click

from changeover.supervisor.api.bodies import HistoryAnswer
from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.cli.overview import clock, table
from changeover.supervisor.cli.showing import as_json_option, show
from changeover.supervisor.control import HistoryLine
from changeover.supervisor.telemetry.amounts import changes
from changeover.supervisor.telemetry.phrases import by

HELP = """List epochs, newest first: who asked when for what, and what became of it.

Exit status: 0 found; 5 no server.
"""


@click.command("history", help=HELP)
@server_options
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, metavar="N", help="How many at most."
)
@as_json_option
def command(name: str, runtime_dir: str, limit: int, as_json: bool) -> None:
    """See HELP."""
    with failures():
        target, now = f"/v1/history?limit={limit}", time.time()
        show(
            server(name, runtime_dir), target, HistoryAnswer, lambda answer: lines(answer.epochs, now), as_json=as_json
        )


def lines(epochs: tuple[HistoryLine, ...], now: float) -> Iterator[str]:
    """Lay the history out; `now` is wall clock."""
    if not epochs:
        yield "no epoch was given yet"
        return
    rows = [(str(line.epoch), line.state.value, clock(line.given, now), by(line.origin), what(line)) for line in epochs]
    yield from table((("epoch", "state", "given", "by", "what"), *rows))


def what(line: HistoryLine) -> str:
    """What an epoch was about, in one line."""
    label = f'"{line.origin.label}" ' if line.origin.label else ""
    back = f"back to epoch {line.restores}: " if line.restores is not None else ""
    reason = f"; {line.reason}" if line.reason else ""
    part = f"{line.part}: " if line.part else ""
    return f"{label}{part}{back}{changes(line.summary)}{reason}"
