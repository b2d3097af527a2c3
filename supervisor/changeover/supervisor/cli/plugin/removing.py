"""`changeover plugin remove`."""

from urllib.parse import quote

import click

from changeover.supervisor.api.bodies import RemovalBody
from changeover.supervisor.cli.cutover import Wish, carry_out, waiting_options
from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.control import Milestone

HELP = """Take PLUGIN out of what serves, as a new epoch; its mounts go with it.

Its files stay where they are, and what served of them is held: reload and restarts leave it alone until it changes or
--force is given. Refused while another plugin, a pipeline or an address needs it, which it names.

Exit status: 0 done; 1 refused, or no such plugin; 5 no server; 6 --wait ended first.
"""


@click.command("remove", help=HELP, short_help="Take a plugin out of what serves, as a new epoch.")
@click.argument("plugin")
@server_options
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@waiting_options
def command(
    plugin: str,
    name: str,
    runtime_dir: str,
    dry_run: bool,
    label: str,
    if_epoch: int | None,
    wait: float,
    until: str,
) -> None:
    """See HELP."""
    milestone = Milestone(until)
    condition = "" if if_epoch is None else str(if_epoch)
    with failures():
        wish = Wish(
            f"/v1/plugins/{quote(plugin, safe='')}",
            RemovalBody(label, dry_run, milestone),
            condition,
            milestone,
            wait,
            f"changeover plugin remove {plugin}",
            "DELETE",
        )
        raise SystemExit(carry_out(server(name, runtime_dir), wish))
