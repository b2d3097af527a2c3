"""`changeover plugin`: one module for each of its subcommands."""

import click

from changeover.supervisor.cli.plugin import checking, creating, listing, packing, removing, signing

HELP = """Plugins: those that serve, and those that you write.

Exit status: 0 done, and nothing is wrong; 1 refused, or something is wrong; 2 usage; 5 no server; 6 --wait ended first.
"""


@click.group("plugin", help=HELP)
def command() -> None:
    """See HELP."""


command.add_command(listing.command)
command.add_command(removing.command)
command.add_command(creating.command)
command.add_command(checking.command)
command.add_command(packing.command)
command.add_command(signing.command)
