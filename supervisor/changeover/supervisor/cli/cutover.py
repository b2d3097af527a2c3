"""What `reload` and `rollback` have in common: ask, show progress, say how it ended."""

import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click
import msgspec

from changeover.supervisor.api.bodies import Body
from changeover.supervisor.api.client import Client, NoAnswer, ServerSent, WaitEnded
from changeover.supervisor.cli import outcomes
from changeover.supervisor.cli.drawing import display
from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.cli.progress import Progress
from changeover.supervisor.control import LeasesView, Milestone, SlotState, StatusView
from changeover.supervisor.core.outcome import Committed, Outcome
from changeover.supervisor.telemetry.stream import Told

DEFAULT_WAIT = 300.0
"""Seconds; longer than every deadline inside a cutover, so that its own outcome comes first."""


F = TypeVar("F", bound=Callable[..., Any])

_WAITING = (
    click.option("--label", default="", metavar="TEXT", help="Your words for it; history and status show them."),
    click.option("--if-epoch", type=click.IntRange(0), metavar="N", help="Only if epoch N is the committed one."),
    click.option(
        "--wait",
        type=click.FloatRange(0, min_open=True),
        default=DEFAULT_WAIT,
        show_default=True,
        metavar="S",
        help="How many seconds to wait for it; it goes on afterwards.",
    ),
    click.option(
        "--until",
        type=click.Choice([milestone.value for milestone in Milestone]),
        default=Milestone.ACTIVE.value,
        show_default=True,
        help="Wait until the new epoch serves, until the old one is not in use, or until it is released.",
    ),
)


def waiting_options(command: F) -> F:
    """Add what both commands take: `label`, `if_epoch`, `wait` and `until`."""
    for option in reversed(_WAITING):
        command = option(command)
    return command


class Wish(msgspec.Struct, frozen=True):
    """A cutover to ask for.

    Attributes:
        target: The resource to post to.
        body: What to post.
        if_epoch: The epoch that must be the committed one.
        until: How far to wait.
        wait: For how many seconds at most.
        again: The command that tries again, for people.
    """

    target: str
    body: Body
    if_epoch: int | None
    until: Milestone
    wait: float
    again: str


def carry_out(client: Client, wish: Wish) -> Exit:
    """Ask the server, print what happens, and return the exit status."""
    status = client.get("/v1/status", StatusView)
    progress = Progress(status.name)
    outcome: Outcome | None = None
    try:
        with display(progress, sys.stdout.isatty()) as shown:
            for event in _events(client, wish):
                if event.event == "told":
                    shown.show(msgspec.json.decode(event.data, type=Told))
                elif event.event == "outcome":
                    outcome = msgspec.json.decode(event.data, type=Outcome)
    except WaitEnded:
        click.echo(outcomes.wait_ended(isinstance(outcome, Committed) or progress.decided, wish.until, wish.wait))
        return Exit.WAIT_ENDED
    except KeyboardInterrupt:
        click.echo("interrupted (exit 6): what was asked for goes on; see `changeover history`")
        return Exit.WAIT_ENDED
    if outcome is None:
        raise NoAnswer(client.path, "the server ended before the outcome was known; see `changeover history`")
    serving = {slot.slot for slot in status.staff if slot.state is SlotState.SERVING} - progress.gone
    for line in outcomes.lines(outcome, outcomes.Workers(len(serving), len(status.staff)), wish.again):
        click.echo(line)
    if isinstance(outcome, Committed):
        _say_what_stays(client, wish)
        click.echo(f"  undo: changeover rollback --to {outcome.previous}")
    return outcomes.exit_of(outcome)


def _events(client: Client, wish: Wish) -> Iterator[ServerSent]:
    headers = {} if wish.if_epoch is None else {"if-match": f'"{wish.if_epoch}"'}
    return client.stream("POST", wish.target, wish.body, headers, wish.wait)


def _say_what_stays(client: Client, wish: Wish) -> None:
    if wish.until is Milestone.ACTIVE:
        for line in outcomes.left_behind(client.get("/v1/leases", LeasesView)):
            click.echo(line)
    else:
        click.echo(f"  {wish.until.value}: nothing is left on what it replaced")
