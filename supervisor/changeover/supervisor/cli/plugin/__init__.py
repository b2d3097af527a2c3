"""`changeover plugin`: one module for each of its subcommands."""

import click

from changeover.supervisor.cli.plugin import signing

HELP = """Plugins that you write.

Exit status: that of the subcommand, which its `--help` lists.
"""


@click.group("plugin", help=HELP)
def command() -> None:
    """See HELP."""


command.add_command(signing.command)
