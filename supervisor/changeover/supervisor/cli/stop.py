"""`changeover stop`."""

import os
import select

import click

from changeover.supervisor.api.bodies import StopBody
from changeover.supervisor.cli.exits import Exit, Failure, failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.control import StatusView
from changeover.supervisor.core.events import Urgency

HELP = """Stop a server: requests under way finish, within its graceful timeout.

Exit status: 0 it is gone; 5 no server; 6 --wait ended first.
"""


@click.command("stop", help=HELP)
@server_options
@click.option("--quick", is_flag=True, help="End requests under way.")
@click.option("--wait", type=click.FloatRange(0), default=60.0, show_default=True, metavar="S", help="Seconds at most.")
def command(name: str, runtime_dir: str, quick: bool, wait: float) -> None:
    """See HELP."""
    with failures():
        client = server(name, runtime_dir)
        pidfd = _open(client.get("/v1/status", StatusView).pid)
        client.raw("POST", "/v1/stop", StopBody(Urgency.QUICK if quick else Urgency.GRACEFUL))
        if pidfd is not None and not _leaves(pidfd, wait):
            raise Failure(f"not gone within {wait:g} s; it goes on stopping, --quick hurries it", Exit.WAIT_ENDED)
        click.echo("stopped")


def _open(pid: int) -> int | None:
    """Hold on to the process itself, before its number can become somebody else's."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _leaves(pidfd: int, wait: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    try:
        return bool(poll.poll(wait * 1000))
    finally:
        os.close(pidfd)
