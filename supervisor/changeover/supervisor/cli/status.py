"""`changeover status`."""

import contextlib
import time

import click

from changeover.supervisor.api.client import Client
from changeover.supervisor.cli.exits import Exit, Failure, failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.cli.overview import overview
from changeover.supervisor.cli.showing import as_json_option
from changeover.supervisor.control import StatusView

HELP = """Show what is served, by whom, and what needs attention (marked !).

Exit status: 0 found; 1 something needs attention (--check only); 5 no server.
"""

RHYTHM = 1.0
"""Seconds between two looks of `--watch`."""


@click.command("status", help=HELP)
@server_options
@as_json_option
@click.option("--watch", is_flag=True, help="Look again every second until interrupted.")
@click.option("--check", is_flag=True, help="Exit with 1 when anything needs attention.")
def command(name: str, runtime_dir: str, as_json: bool, watch: bool, check: bool) -> None:
    """See HELP."""
    if watch and (as_json or check):
        raise Failure("--watch goes with neither --json nor --check", Exit.USAGE)
    with failures():
        client = server(name, runtime_dir)
        if watch:
            _watch(client)
        elif as_json:
            click.echo(client.raw("GET", "/v1/status"))
        else:
            _print(client.get("/v1/status", StatusView))
        if check and client.get("/v1/status", StatusView).alarms:
            raise SystemExit(Exit.REFUSED)


def _print(view: StatusView) -> None:
    for line in overview(view, time.time()):
        click.echo(line)


def _watch(client: Client) -> None:
    from rich.live import Live
    from rich.text import Text

    with contextlib.suppress(KeyboardInterrupt), Live(screen=True, auto_refresh=False) as live:
        while True:
            view = client.get("/v1/status", StatusView)
            live.update(Text("\n".join(overview(view, time.time())), no_wrap=True), refresh=True)
            time.sleep(RHYTHM)
