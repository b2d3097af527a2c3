"""`changeover stop`."""

import click

from changeover.supervisor.api.bodies import StopBody
from changeover.supervisor.cli.exits import Exit, Failure, failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.control import StatusView
from changeover.supervisor.core.events import Urgency
from changeover.supervisor.process.awaited import ends, held

HELP = """Stop a server: requests under way finish, within its graceful timeout.

Exit status: 0 it is gone; 5 no server; 6 --wait ended first.
"""


@click.command("stop", help=HELP)
@server_options
@click.option("--quick", is_flag=True, help="End requests under way.")
@click.option("--wait", type=click.FloatRange(0), default=60.0, show_default=True, metavar="S", help="Seconds at most.")
def command(name: str, runtime_dir: str, quick: bool, wait: float) -> None:
    """See HELP."""
    with failures():
        client = server(name, runtime_dir)
        with held(client.get("/v1/status", StatusView).pid) as pidfd:
            client.raw("POST", "/v1/stop", StopBody(Urgency.QUICK if quick else Urgency.GRACEFUL))
            if pidfd is not None and not ends(pidfd, wait):
                raise Failure(f"not gone within {wait:g} s; it goes on stopping, --quick hurries it", Exit.WAIT_ENDED)
        click.echo("stopped")
