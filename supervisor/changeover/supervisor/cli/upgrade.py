"""`changeover upgrade`."""

import math
import time
from pathlib import Path

import click

from changeover.supervisor.api.bodies import UpgradeBody
from changeover.supervisor.api.client import Client, NoAnswer
from changeover.supervisor.cli.exits import Exit, Failure, failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.control import SlotState, StatusView
from changeover.supervisor.process.awaited import ends, held
from changeover.supervisor.telemetry.amounts import workers

LOOK = 0.1
"""Seconds between two looks whether it is done."""
BACK = 10.0
"""Seconds in which somebody, a service manager as a rule, starts a supervisor again that has ended."""

HELP = """Replace the supervisor's own program, in the process that it has; workers and connections are not touched.

The new program is first tried in a child: it has to read the configuration, a copy of the journal, and what it would be
handed. A cutover that runs is waited for. When the new program does not take over in time, the old one runs again.

Exit status: 0 done; 1 refused, or the old program runs again; 5 no server, or it ended meanwhile; 6 --wait ended first.
"""


@click.command("upgrade", help=HELP)
@server_options
@click.option(
    "--python", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="PATH",
    help="The interpreter that is to run it, of another virtual environment; by default the one that runs now.",
)  # fmt: skip
@click.option("--label", default="", metavar="TEXT", help="Your words for it.")
@click.option(
    "--wait", type=click.FloatRange(0), default=180.0, show_default=True, metavar="S", help="Seconds at most."
)
def command(name: str, runtime_dir: str, python: Path | None, label: str, wait: float) -> None:
    """See HELP."""
    with failures():
        client = server(name, runtime_dir)
        before = client.get("/v1/status", StatusView)
        until = time.monotonic() + wait
        # Not resolved: the interpreter of a virtual environment is a link, and is known by its own path.
        body = UpgradeBody("" if python is None else str(python.absolute()), label)
        with held(before.pid) as pidfd:
            client.raw("POST", "/v1/upgrade", body, wait)
            after = _after(client, before, pidfd, until)
        if after is None:
            raise Failure(f"not done within {wait:g} s; `changeover status` shows what runs", Exit.WAIT_ENDED)
        if after.fell_back:
            raise Failure(f"{after.name} runs version {after.version} again: {after.fell_back}", Exit.REFUSED)
        serving = workers(len(_serving(after)))
        click.echo(f"{after.name} runs version {after.version}; epoch {after.epoch} serves in {serving}, as before")


def _serving(view: StatusView) -> set[int]:
    return {slot.pid for slot in view.staff if slot.state is SlotState.SERVING}


def _after(client: Client, before: StatusView, pidfd: int | None, until: float) -> StatusView | None:
    """The first status of another term in which as many workers serve as before; None when there is none in time.

    Raises:
        Failure: The process that both programs have has ended, and nobody answers in its place.
    """
    missed = math.inf
    while time.monotonic() < until:
        try:
            view = client.get("/v1/status", StatusView)
            missed = math.inf
            if view.term > before.term and len(_serving(view)) >= len(_serving(before)):
                return view
        except NoAnswer as error:  # between two programs, or for good
            if pidfd is not None and ends(pidfd):
                missed = min(missed, time.monotonic())
            if time.monotonic() - missed >= BACK:
                raise Failure(_gone(before), Exit.NO_SERVER) from error
        time.sleep(LOOK)
    return None


def _gone(before: StatusView) -> str:
    return (
        f"supervisor {before.pid} of {before.name} has ended, and no other answers after {BACK:g} s; "
        "start it again with `changeover run`, which adopts its workers, if nobody has stopped them"
    )
