"""`changeover scale`."""

import click

from changeover.supervisor.api.bodies import ScaleBody
from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.telemetry.amounts import workers as counted

HELP = """Change the number of workers; the oldest leave first, gracefully.

Exit status: 0 accepted; 1 refused; 5 no server.
"""


@click.command("scale", help=HELP)
@server_options
@click.argument("workers", type=click.IntRange(1))
def command(name: str, runtime_dir: str, workers: int) -> None:
    """See HELP."""
    with failures():
        server(name, runtime_dir).raw("PUT", "/v1/scale", ScaleBody(workers))
        click.echo(f"{counted(workers)} wanted; see: changeover status")
