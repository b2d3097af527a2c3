"""`changeover leases`."""

from collections.abc import Iterator

import click

from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.cli.overview import table
from changeover.supervisor.cli.showing import as_json_option, show, unanswered
from changeover.supervisor.remaining import LeasesView
from changeover.supervisor.telemetry.amounts import age

HELP = """Show who still holds which epoch: kind, age, path and worker of each lease, oldest epoch first.

Workers that leave are asked as well: `handing over` after a roll, `stopping` once they were told to end.

Exit status: 0 found; 5 no server.
"""


@click.command("leases", help=HELP)
@server_options
@as_json_option
def command(name: str, runtime_dir: str, as_json: bool) -> None:
    """See HELP."""
    with failures():
        show(server(name, runtime_dir), "/v1/leases", LeasesView, lines, as_json=as_json)


def lines(view: LeasesView) -> Iterator[str]:
    """Lay the leases out."""
    held = sorted(
        ((lease, slot) for slot in view.slots for lease in slot.leases), key=lambda each: (each[0].epoch, -each[0].age)
    )
    if held:
        rows = [
            (str(lease.epoch), lease.kind, age(lease.age), str(slot.slot), str(slot.pid), slot.state.value, lease.path)
            for lease, slot in held
        ]
        yield from table((("epoch", "kind", "age", "slot", "pid", "worker", "path"), *rows))
    else:
        yield f"no leases; epoch {view.epoch} is committed"
    yield from unanswered(view.silent)
