"""`changeover check`."""

from pathlib import Path
from typing import Any

import click

from changeover.supervisor.artifacts.rehearsal import rehearse
from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.cli.foreign import Hinting
from changeover.supervisor.cli.serving_options import serving_options, source
from changeover.supervisor.config import locating
from changeover.supervisor.config.check import Checked, ConfigError
from changeover.supervisor.config.load import check
from changeover.supervisor.config.rlimits import parse_rlimit
from changeover.supervisor.process.limiting import impossible

HELP = """Say what is wrong with a configuration and its plugins, all of it at once, with the path of each setting.

An application is looked for and not imported.

It takes the flags of `changeover run` that are settings. `changeover run --check-config` takes all of them, and says
the same.

Exit status: 0 nothing is wrong; 1 something is; 2 usage.
"""


@click.command("check", cls=Hinting, help=HELP)
@serving_options
def command(config: Path | None, chdir: str | None, **flags: Any) -> None:
    """See HELP."""
    if not is_right(check(source(config, chdir, flags))):
        raise SystemExit(Exit.REFUSED)


def is_right(checked: Checked) -> bool:
    """Print everything that is wrong with a configuration, its application and plugins; whether nothing is."""
    show(checked)
    if checked.settings is None:
        return False
    rehearsal = rehearse(checked.settings, checked.file)
    for warning in rehearsal.warnings:
        click.echo(f"warning: {warning}", err=True)
    mistakes = locating.mistakes(checked.settings.app, checked.settings.python)
    wrong = [ConfigError("", mistake.path, mistake.message) for mistake in mistakes]
    limits = map(parse_rlimit, checked.settings.rlimits)
    wrong += [ConfigError("", "$.rlimits", str(problem)) for problem in impossible(limits)]
    errors = [*map(str, wrong), *rehearsal.errors]
    for error in errors:
        click.echo(f"error: {error}", err=True)
    if not errors:
        click.echo(f"nothing is wrong with the configuration of {checked.settings.name}")
    return not errors


def show(checked: Checked) -> None:
    """Print errors and warnings on stderr."""
    for warning in checked.warnings:
        click.echo(f"warning: {warning}", err=True)
    for error in checked.errors:
        click.echo(f"error: {error}", err=True)
