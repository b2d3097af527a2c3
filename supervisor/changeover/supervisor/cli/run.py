"""`changeover run`: wires what was typed to the supervisor, and does nothing else."""

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from changeover.supervisor.cli.check import is_right, show
from changeover.supervisor.cli.development import DEVELOPMENT
from changeover.supervisor.cli.environment import variables
from changeover.supervisor.cli.exits import Exit, Failure
from changeover.supervisor.cli.foreign import Hinting
from changeover.supervisor.cli.pidfile import pid_file
from changeover.supervisor.cli.printed_settings import toml
from changeover.supervisor.cli.serving_options import serving_options, source
from changeover.supervisor.config.load import check
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.config.sources import Source
from changeover.supervisor.errors import SupervisorError
from changeover.supervisor.process.first_process import leave_first_place
from changeover.supervisor.process.signals import SignalInbox, Terminal
from changeover.supervisor.process.standard_descriptors import fill_standard_descriptors
from changeover.supervisor.telemetry import log
from changeover.supervisor.telemetry.stream import Level
from changeover.supervisor.telemetry.tracebacks import Tracebacks
from changeover.supervisor.upgrade.handed import Inherited, take
from changeover.supervisor.upgrade.launch import Launch
from changeover.supervisor.upgrade.program import Program

HELP = """Serve an application, plugins, or both, until TERM or INT.

\b
  changeover run app:app -w 4
  changeover run --plugins plugins -b 127.0.0.1:8000 -b unix:/run/shop.sock

Flags win over CHANGEOVER_* and these over changeover.toml. HUP reloads, TERM stops gracefully. With --reload, what is
saved is taken at once: one worker unless -w says otherwise, everything watched, a second to drain.

\b
Exit status:
  0   stopped as asked
  1   it cannot start (address, folder, journal), or could not end a process
  2   usage, or the configuration is wrong
  3   a worker failed to boot: workers or zygotes died or fell silent before one served, and none refused what it serves
  4   the app failed to load: it, or a plugin, was refused with the reason, by the scan, an import or a hook
  70  a bug in changeover; workers serve on
"""


@click.command("run", cls=Hinting, help=HELP)
@serving_options
@click.option("--reload", is_flag=True, help="Take what is saved at once; for development, like `changeover dev`.")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set a variable for all processes; repeatable.")
@click.option(
    "--env-file", multiple=True, type=click.Path(path_type=Path), metavar="FILE", help="Read variables from a file."
)
@click.option("-p", "--pid", type=click.Path(path_type=Path), metavar="FILE", help="Write the supervisor's pid there.")
@click.option(
    "--log-level", type=click.Choice([level.value for level in Level]), default=Level.INFO.value, show_default=True
)
@click.option(
    "--log-format",
    type=click.Choice([format.value for format in log.LogFormat]),
    default=log.LogFormat.AUTO.value,
    help="Text on a terminal and JSON lines elsewhere, unless said here.",
)
@click.option("--log-file", type=click.Path(path_type=Path), metavar="FILE", help="Instead of stderr; USR1 reopens it.")
@click.option("--check-config", is_flag=True, help="Only say what is wrong with the configuration and plugins.")
@click.option("--print-config", is_flag=True, help="Only print every setting as it would be used.")
def command(
    config: Path | None,
    chdir: str | None,
    reload: bool,
    env: tuple[str, ...],
    env_file: tuple[Path, ...],
    pid: Path | None,
    log_level: str,
    log_format: str,
    log_file: Path | None,
    check_config: bool,
    print_config: bool,
    **flags: Any,
) -> None:
    """See HELP."""
    fill_standard_descriptors()
    leave_first_place()
    inherited = take(os.environ)
    launch = Launch.of_this_process()
    inbox = SignalInbox(Terminal.of_this_process())
    inbox.open()
    os.environ.update(variables(env_file, env))
    found = source(config, chdir, flags, DEVELOPMENT if reload else ())
    if check_config:
        raise SystemExit(Exit.DONE if is_right(check(found)) else Exit.USAGE)
    settings = _settings_of(inherited) or _checked(found)
    if print_config:
        click.echo("\n".join(toml(settings)))
        return
    _install_log(Level(log_level), log.LogFormat(log_format), log_file)
    with pid_file(pid):
        tracebacks = Tracebacks.OWN if reload else Tracebacks.WHOLE
        raise SystemExit(_serve(settings, found, inbox, Program(launch, inherited), tracebacks))


def _settings_of(inherited: Inherited | None) -> Settings | None:
    """What this program went by before another one was to take over and did not; None where it does not come back."""
    if inherited is None or not inherited.fell_back or not inherited.handed.settings:
        return None
    return msgspec.json.decode(inherited.handed.settings, type=Settings)


def _checked(found: Source) -> Settings:
    checked = check(found)
    show(checked)
    if checked.settings is None:
        raise SystemExit(Exit.USAGE)
    return checked.settings


def _install_log(level: Level, format: log.LogFormat, file: Path | None) -> None:
    try:
        log.install(level, format, file)
    except OSError as error:
        raise click.UsageError(f"--log-file {file} cannot be written: {error.strerror}") from error


def _serve(settings: Settings, found: Source, inbox: SignalInbox, program: Program, tracebacks: Tracebacks) -> int:
    from changeover.supervisor.lifetime import run

    try:
        return run(settings, lambda: check(found), inbox, program, tracebacks)
    except SupervisorError as error:
        raise Failure(str(error), Exit.REFUSED) from error
