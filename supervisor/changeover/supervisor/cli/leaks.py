"""`changeover leaks`."""

from collections import defaultdict
from collections.abc import Iterator

import click

from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.control import LeaksView
from changeover.workers.protocol.plugin_messages import LeakView

HELP = """Show what was released and is still alive, in which workers, and what holds it: from the root on, each held by
the one before.

A worker looks for what it released soon after it did. For nothing to be here a plugin takes back in `on_unload` what it
registered with others.

Exit status: 0 found; 5 no server.
"""


@click.command("leaks", help=HELP)
@server_options
@click.option("--json", "as_json", is_flag=True, help="Print what the server says, as JSON.")
def command(name: str, runtime_dir: str, as_json: bool) -> None:
    """See HELP."""
    with failures():
        client = server(name, runtime_dir)
        if as_json:
            click.echo(client.raw("GET", "/v1/leaks"))
            return
        for line in lines(client.get("/v1/leaks", LeaksView)):
            click.echo(line)


def lines(view: LeaksView) -> Iterator[str]:
    """Lay the leaks out: what several workers have alike is said once."""
    slots: defaultdict[LeakView, list[int]] = defaultdict(list)
    for slot in view.slots:
        for leak in slot.leaks:
            slots[leak].append(slot.slot)
    for leak, where in slots.items():
        yield from _leak(leak, where)
    for slot in view.slots:
        if slot.unnamed:
            yield f"{slot.unnamed} older copies in slot {slot.slot}, which are not told by name any more"
    if not slots:
        yield f"no leaks: what was released is gone; epoch {view.epoch} is committed"
    yield from _copies(view)
    if view.silent:
        yield f"! no answer from slot {', '.join(map(str, view.silent))}"


def _leak(leak: LeakView, where: list[int]) -> Iterator[str]:
    yield f"{leak.unit}: {leak.what}, in slot {', '.join(map(str, where))}"
    for depth, holder in enumerate(leak.chain):
        yield f"  {'held by' if depth == 0 else '     ->'} {holder}"


def _copies(view: LeaksView) -> Iterator[str]:
    """The units of which some worker has more than one copy."""
    most: dict[str, int] = {}
    for slot in view.slots:
        for unit, count in slot.resident.items():
            most[unit] = max(count, most.get(unit, 0))
    yield from (f"{unit}: {count} copies at most in one worker" for unit, count in most.items() if count > 1)
