"""What `reload`, `rollback`, `handler` and `plugin remove` have in common: ask, show progress, say how it ended."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import click
import msgspec

from changeover.supervisor.api.bodies import Body
from changeover.supervisor.api.client import Client, NoAnswer, ServerSent, WaitEnded
from changeover.supervisor.cli import outcomes
from changeover.supervisor.cli.drawing import display
from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.cli.progress import Progress
from changeover.supervisor.control import Milestone, SlotState, StatusView
from changeover.supervisor.core.outcome import Committed, Outcome
from changeover.supervisor.remaining import LeasesView
from changeover.supervisor.telemetry.stream import Told

DEFAULT_WAIT = 300.0
"""Seconds; longer than every deadline inside a cutover, so that its own outcome comes first."""
LET_GO = {
    Milestone.DRAINED: "nobody uses what it replaced any more",
    Milestone.RETIRED: "every worker has released what it replaced",
}
"""What is known of the content before when a milestone is reached."""


F = TypeVar("F", bound=Callable[..., Any])

_LABEL = click.option("--label", default="", metavar="TEXT", help="Your words for it; history and status show them.")
_IF_EPOCH = click.option(
    "--if-epoch", type=click.IntRange(0), metavar="N", help="Only if epoch N is the committed one."
)
_WAITING = (
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
    """Add what is said of a cutover to whatever may serve: `label`, `if_epoch`, `wait` and `until`."""
    return _with(command, (_LABEL, _IF_EPOCH, *_WAITING))


def editing_options(command: F) -> F:
    """Add what is said of a cutover that names what it changes: `label`, `wait` and `until`."""
    return _with(command, (_LABEL, *_WAITING))


def _with(command: F, options: Sequence[Callable[[F], F]]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


class Wish(msgspec.Struct, frozen=True):
    """A cutover to ask for.

    Attributes:
        target: The resource to ask.
        body: What to send it.
        if_match: The epoch that must be the committed one, or the digest that a pipeline must have; empty for any.
        until: How far to wait.
        wait: For how many seconds at most.
        again: The command that tries again, for people.
        method: How to ask it.
    """

    target: str
    body: Body
    if_match: str
    until: Milestone
    wait: float
    again: str
    method: str = "POST"


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
        raise NoAnswer(client.path, outcomes.ended_before(progress.parted, len(status.staff)))
    for line in outcomes.lines(outcome, _workers(status, progress.gone), wish.again):
        click.echo(line)
    if isinstance(outcome, Committed):
        _say_what_stays(client, wish)
        click.echo(f"  undo: changeover rollback --to {outcome.previous}")
    return outcomes.exit_of(outcome)


def _workers(status: StatusView, gone: frozenset[int]) -> outcomes.Workers:
    """Who serves what served before, but for those who are gone since."""
    missing = []
    for slot in status.staff:
        if slot.state is not SlotState.SERVING:
            missing.append(f"slot {slot.slot} is {slot.state.value}" + (f": {slot.note}" if slot.note else ""))
        elif slot.slot in gone:
            missing.append(f"slot {slot.slot} lost its worker")
    return outcomes.Workers(len(status.staff) - len(missing), tuple(missing))


def _events(client: Client, wish: Wish) -> Iterator[ServerSent]:
    headers = {"if-match": f'"{wish.if_match}"'} if wish.if_match else {}
    return client.stream(wish.method, wish.target, wish.body, headers, wish.wait)


def _say_what_stays(client: Client, wish: Wish) -> None:
    if wish.until is Milestone.ACTIVE:
        for line in outcomes.left_behind(client.get("/v1/leases", LeasesView)):
            click.echo(line)
    else:
        click.echo(f"  {wish.until.value}: {LET_GO[wish.until]}")
