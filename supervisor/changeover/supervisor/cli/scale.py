"""`changeover scale`."""

from typing import Any

import click

from changeover.supervisor.api.bodies import ScaleBody
from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.config.rules import MOST_WORKERS
from changeover.supervisor.telemetry.amounts import workers as counted

HELP = """Change the number of workers; the oldest leave first, gracefully.

Exit status: 0 accepted; 1 refused; 5 no server.
"""


class Count(click.IntRange):
    """How many there are to be. A sign asks for more or fewer, and taken for a count it would do something else."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse a sign."""
        if isinstance(value, str) and value.startswith("+"):
            self.fail(f"{value} is no count: write how many there are to be, or send TTIN for one more", param, ctx)
        return super().convert(value, param, ctx)


@click.command("scale", help=HELP)
@server_options
@click.argument("workers", type=Count(1, MOST_WORKERS))
def command(name: str, runtime_dir: str, workers: int) -> None:
    """See HELP."""
    with failures():
        server(name, runtime_dir).raw("PUT", "/v1/scale", ScaleBody(workers))
        click.echo(f"{counted(workers)} wanted; see: changeover status")
