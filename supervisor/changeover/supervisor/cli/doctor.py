"""`changeover doctor`."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
import msgspec

from changeover.supervisor.cli.check import show
from changeover.supervisor.cli.environment import variables
from changeover.supervisor.cli.exits import Exit, Failure
from changeover.supervisor.cli.foreign import Hinting
from changeover.supervisor.cli.serving_options import serving_options, source
from changeover.supervisor.config.load import check
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.config.sources import PREFIX, Override
from changeover.supervisor.errors import SupervisorError

if TYPE_CHECKING:
    from changeover.supervisor.cli.diagnosis.measurements import Measured, Plan

WORKERS = 2
TIMES = 20
WITHIN = 2.0

HELP = """Say whether an application is fit for being changed while it serves, and which of its modules are not.

\b
  changeover doctor app:app
  changeover doctor app:app --app-dir src --path /health

It is imported and started by itself, then served by a server of its own: temporary folders, a free port of this
machine, two workers unless -w says otherwise. A plugin is swapped beside it and it is rolled, 20 times each, while a
few clients ask for --path. Settings are read as by `changeover run`; addresses, folders, the account, recycling and the
hooks before_boot and cutover_committed are left out.

\b
Exit status:
  0  nothing was found
  1  a finding, each with what to do; or the server failed on the way
  2  usage, or --path is not answered
  3  a worker failed to boot
  4  the app failed to load
"""


@click.command("doctor", cls=Hinting, help=HELP)
@serving_options
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Set a variable for all processes; repeatable.")
@click.option(
    "--env-file", multiple=True, type=click.Path(path_type=Path), metavar="FILE", help="Read variables from a file."
)
@click.option("--path", default="/", show_default=True, metavar="PATH", help="What the clients ask for, by GET.")
@click.option("--swaps", type=click.IntRange(0, 1000), default=TIMES, show_default=True, metavar="N")
@click.option("--rolls", type=click.IntRange(0, 1000), default=TIMES, show_default=True, metavar="N")
@click.option(
    "--within",
    type=click.FloatRange(0, min_open=True),
    default=WITHIN,
    show_default=True,
    metavar="S",
    help="Seconds that import and startup may take together.",
)
@click.option("--json", "as_json", is_flag=True, help="Print findings and measurements as JSON; progress to stderr.")
def command(
    config: Path | None,
    chdir: str | None,
    env: tuple[str, ...],
    env_file: tuple[Path, ...],
    path: str,
    swaps: int,
    rolls: int,
    within: float,
    as_json: bool,
    **flags: Any,
) -> None:
    """See HELP."""
    from changeover.supervisor.cli.diagnosis.measurements import Plan

    os.environ.update(variables(env_file, env))
    settings = _settings(config, chdir, flags)
    title = settings.app.target if settings.app else "the plugins"
    preload = settings.app is not None and settings.app.preload is not False
    workers = settings.slots(os.cpu_count() or 1)
    plan = Plan(title, workers, swaps, rolls, path, within, preload)
    measured = _measured(settings, plan, sys.stderr if as_json else sys.stdout)
    raise SystemExit(_say(measured, as_json))


def _settings(config: Path | None, chdir: str | None, flags: dict[str, Any]) -> Settings:
    """Read them as `run` does; the server that is started then reads no variable of ours."""
    checked = check(source(config, chdir, flags, (Override(("workers",), WORKERS, "doctor"),)))
    show(checked)
    if checked.settings is None:
        raise SystemExit(Exit.USAGE)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    return checked.settings


def _measured(settings: Settings, plan: "Plan", file: IO[str]) -> "Measured":
    from changeover.supervisor.api.started import ServerFailed
    from changeover.supervisor.cli.diagnosis.display import display
    from changeover.supervisor.cli.diagnosis.examination import examination
    from changeover.supervisor.cli.diagnosis.visit import NothingToExamine

    with tempfile.TemporaryDirectory(prefix="changeover-doctor-") as folder, display(file) as shown:
        try:
            return asyncio.run(examination(settings, plan, Path(folder), shown))
        except ServerFailed as error:
            raise Failure(str(error), _exit_of(error.status)) from error
        except NothingToExamine as error:
            raise Failure(str(error), Exit.USAGE) from error
        except SupervisorError as error:
            raise Failure(str(error), Exit.REFUSED) from error


def _exit_of(status: int | None) -> Exit:
    """As `run` ended, where it said why the application does not boot."""
    return Exit(status) if status in (Exit.WORKER_BOOT, Exit.APP_LOAD) else Exit.REFUSED


def _say(measured: "Measured", as_json: bool) -> Exit:
    from changeover.supervisor.cli.diagnosis.judgement import judge
    from changeover.supervisor.cli.diagnosis.page import Report, page

    report = Report.of(judge(measured), measured)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        click.echo()
        for line in page(report):
            click.echo(line)
    return Exit.DONE if report.well else Exit.REFUSED
