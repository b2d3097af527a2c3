"""`changeover rollback`."""

import click

from changeover.supervisor.api.bodies import RollbackBody
from changeover.supervisor.cli.cutover import Wish, carry_out, waiting_options
from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.control import Milestone

HELP = """Put earlier committed content back, as a new epoch.

Plugins, routes and configuration come back; data, databases, installed packages and files of the application that
are no modules do not. Application code takes new processes. What is rolled back is held: reload and restarts leave
it alone until it changes or --force is given.

Exit status: 0 done; 1 refused, or served by nobody; 5 no server; 6 --wait ended first.
"""


@click.command("rollback", help=HELP)
@server_options
@click.option("--to", type=click.IntRange(1), metavar="EPOCH", help="Whose content; by default that before this one.")
@waiting_options
def command(
    name: str, runtime_dir: str, to: int | None, label: str, if_epoch: int | None, wait: float, until: str
) -> None:
    """See HELP."""
    milestone = Milestone(until)
    condition = "" if if_epoch is None else str(if_epoch)
    with failures():
        wish = Wish(
            "/v1/rollbacks", RollbackBody(to, label, milestone), condition, milestone, wait, "changeover rollback"
        )
        raise SystemExit(carry_out(server(name, runtime_dir), wish))
