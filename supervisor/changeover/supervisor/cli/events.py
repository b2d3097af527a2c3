"""`changeover events`."""

import contextlib
from datetime import datetime

import click
import msgspec

from changeover.supervisor.api.bodies import EventsAnswer
from changeover.supervisor.api.client import Client, NoAnswer
from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.telemetry.stream import Told

HELP = """Print what the server tells; every record and its fields are in docs/events.md.

Exit status: 0 done; 5 no server, or it ended while it was followed.
"""


@click.command("events", help=HELP)
@server_options
@click.option("--follow", is_flag=True, help="Go on until interrupted.")
@click.option("--after", type=click.IntRange(0), default=0, metavar="N", help="Only what came after event N.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(name: str, runtime_dir: str, follow: bool, after: int, as_json: bool) -> None:
    """See HELP."""
    with failures():
        client = server(name, runtime_dir)
        if not follow:
            for told in client.get(f"/v1/events?follow=false&after={after}", EventsAnswer).events:
                click.echo(msgspec.json.encode(told) if as_json else line(told))
            return
        with contextlib.suppress(KeyboardInterrupt):
            _follow(client, after, as_json)


def _follow(client: Client, after: int, as_json: bool) -> None:
    for event in client.stream("GET", "/v1/events", None, {"last-event-id": str(after)}):
        click.echo(event.data if as_json else line(msgspec.json.decode(event.data, type=Told)))
    raise NoAnswer(client.path, "the server ended")


def line(told: Told) -> str:
    """One event in one line."""
    at = datetime.fromtimestamp(told.at).strftime("%H:%M:%S")
    return f"{told.sequence:>6} {at} {told.level.value:8} {told.line}"
