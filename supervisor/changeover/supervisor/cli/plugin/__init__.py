"""`changeover plugin`: one module for each of its subcommands."""

import click

from changeover.supervisor.cli.plugin import checking, creating, listing, removing

HELP = """Plugins: those that serve, and those that you write."""


@click.group("plugin", help=HELP)
def command() -> None:
    """See HELP."""


command.add_command(listing.command)
command.add_command(removing.command)
command.add_command(creating.command)
command.add_command(checking.command)
