"""`changeover demo`."""

import asyncio
import tempfile
from pathlib import Path

import click

from changeover.supervisor.cli.exits import Exit, Failure

HELP = """Watch plugins change under load: a real server with four workers in a temporary folder, twelve clients.

Version 2 is swapped in by SIGHUP, a broken version 3 is refused with its traceback, and a rollback brings version 1
back. Everything runs on this machine and is removed afterwards.

Exit status: 0 not one request failed and everything went as it should; 1 otherwise.
"""


@click.command("demo", help=HELP)
def command() -> None:
    """See HELP."""
    from rich.console import Console

    from changeover.supervisor.api.client import NoAnswer, WaitEnded
    from changeover.supervisor.api.started import OutcomeUnknown, ServerFailed
    from changeover.supervisor.cli.tour.story import Unexpected, tour
    from changeover.supervisor.cli.tour.table import draw

    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="changeover-demo-") as folder:
        try:
            result = asyncio.run(tour(Path(folder), lambda line: console.print(line, markup=False)))
        except (ServerFailed, Unexpected, NoAnswer, WaitEnded, OutcomeUnknown) as error:
            raise Failure(str(error), Exit.REFUSED) from error
    console.print()
    draw(result, console)
    raise SystemExit(Exit.DONE if result.well else Exit.REFUSED)
