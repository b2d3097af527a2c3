"""`changeover leaks`."""

from collections import defaultdict
from collections.abc import Iterator

import click

from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.cli.showing import as_json_option, show, unanswered
from changeover.supervisor.remaining import LeaksView, SlotLeaks
from changeover.workers.protocol.plugin_messages import LeakView

HELP = """Show what was released and is still alive, in which workers, and what holds it: from the root on, each held by
the one before.

A worker looks for what it released soon after it did. For nothing to be here a plugin takes back in `on_unload` what it
registered with others. Workers that leave (`handing over`, `stopping`) have theirs until their end.

Exit status: 0 found; 5 no server.
"""


@click.command("leaks", help=HELP)
@server_options
@as_json_option
def command(name: str, runtime_dir: str, as_json: bool) -> None:
    """See HELP."""
    with failures():
        show(server(name, runtime_dir), "/v1/leaks", LeaksView, lines, as_json=as_json)


def lines(view: LeaksView) -> Iterator[str]:
    """Lay the leaks out: what several workers have alike is said once."""
    slots: defaultdict[LeakView, list[str]] = defaultdict(list)
    for slot in view.slots:
        for leak in slot.leaks:
            slots[leak].append(_where(slot))
    for leak, where in slots.items():
        yield from _leak(leak, where)
    for slot in view.slots:
        if slot.unnamed:
            yield f"{slot.unnamed} older copies in slot {_where(slot)}, which are not told by name any more"
    if not slots and (view.slots or not view.silent):
        yield f"no leaks: what was released and looked for is gone; epoch {view.epoch} is committed"
    yield from _copies(view)
    yield from unanswered(view.silent)


def _where(slot: SlotLeaks) -> str:
    return f"{slot.slot} ({slot.state.value})" if slot.state.leaves else str(slot.slot)


def _leak(leak: LeakView, where: list[str]) -> Iterator[str]:
    yield f"{leak.unit}: {leak.what}, in slot {', '.join(where)}"
    for depth, holder in enumerate(leak.chain):
        yield f"  {'held by' if depth == 0 else '     ->'} {holder}"


def _copies(view: LeaksView) -> Iterator[str]:
    """The units of which some worker has more than one copy."""
    most: dict[str, int] = {}
    for slot in view.slots:
        for unit, count in slot.resident.items():
            most[unit] = max(count, most.get(unit, 0))
    yield from (f"{unit}: {count} copies at most in one worker" for unit, count in most.items() if count > 1)
