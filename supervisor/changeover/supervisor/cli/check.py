"""`changeover check`."""

from pathlib import Path
from typing import Any

import click

from changeover.supervisor.artifacts.rehearsal import rehearse
from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.cli.foreign import Hinting
from changeover.supervisor.cli.serving_options import serving_options, source
from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.load import check

HELP = """Say what is wrong with a configuration and its plugins, all of it at once, with the path of each setting.

It takes the flags of `changeover run`, so that what would be run is what is checked.

Exit status: 0 nothing is wrong; 1 something is; 2 usage.
"""


@click.command("check", cls=Hinting, help=HELP)
@serving_options
def command(config: Path | None, chdir: str | None, **flags: Any) -> None:
    """See HELP."""
    checked = check(source(config, chdir, flags))
    show(checked)
    if checked.settings is None:
        raise SystemExit(Exit.REFUSED)
    rehearsal = rehearse(checked.settings)
    for warning in rehearsal.warnings:
        click.echo(f"warning: {warning}", err=True)
    for error in rehearsal.errors:
        click.echo(f"error: {error}", err=True)
    if rehearsal.errors:
        raise SystemExit(Exit.REFUSED)
    click.echo(f"nothing is wrong with the configuration of {checked.settings.name}")


def show(checked: Checked) -> None:
    """Print errors and warnings on stderr."""
    for warning in checked.warnings:
        click.echo(f"warning: {warning}", err=True)
    for error in checked.errors:
        click.echo(f"error: {error}", err=True)
