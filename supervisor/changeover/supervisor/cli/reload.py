"""`changeover reload`."""

import os

import click

from changeover.supervisor.api.bodies import CutoverBody
from changeover.supervisor.cli.cutover import Wish, carry_out, waiting_options
from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.control import Milestone
from changeover.supervisor.core.outcome import SilentWorkers, Strategy

HELP = """Take what changed on disk into all workers at once, or refuse it.

Every worker prepares the new generation beside the one that serves; when all of them can, all of them switch
between two requests. When one cannot, nothing changes anywhere and its traceback is shown.

Exit status: 0 done, or nothing had changed; 1 refused, or served by nobody; 5 no server; 6 --wait ended first.
"""


@click.command("reload", help=HELP)
@server_options
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--only", multiple=True, metavar="NAME", help="Take only this plugin or application; repeatable.")
@waiting_options
@click.option(
    "--force",
    is_flag=True,
    help="Take content that was rolled back, and unchanged content too; do without state that is not given.",
)
@click.option(
    "--on-silent-worker",
    type=click.Choice([answer.value for answer in SilentWorkers]),
    help="What becomes of a worker that does not answer in time.",
)
@click.option(
    "--strategy",
    type=click.Choice([strategy.value for strategy in Strategy]),
    default=Strategy.AUTO.value,
    show_default=True,
    help="Swap in the living workers, roll to new ones, or whichever is needed.",
)
@click.option("--python", default="", metavar="PATH", help="Roll to this interpreter, or virtual environment.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="In a roll, how many new workers boot at once.")
@click.option(
    "--surge",
    type=click.IntRange(0),
    metavar="N",
    help="In a roll, how many extra workers may exist; as many as there are by default, and fewer are refused.",
)
@click.option(
    "--allow-partial", is_flag=True, help="With a smaller --surge, let a roll serve part by part; a refusal reverts it."
)
def command(
    name: str,
    runtime_dir: str,
    dry_run: bool,
    only: tuple[str, ...],
    label: str,
    if_epoch: int | None,
    wait: float,
    until: str,
    force: bool,
    on_silent_worker: str | None,
    strategy: str,
    python: str,
    batch: int | None,
    surge: int | None,
    allow_partial: bool,
) -> None:
    """See HELP."""
    milestone = Milestone(until)
    silent = None if on_silent_worker is None else SilentWorkers(on_silent_worker)
    path = os.path.abspath(python) if python else ""
    terms = (Strategy(strategy), path, batch, surge, allow_partial)
    body = CutoverBody(only, label, force, dry_run, silent, milestone, *terms)
    condition = "" if if_epoch is None else str(if_epoch)
    with failures():
        wish = Wish("/v1/cutovers", body, condition, milestone, wait, "changeover reload")
        raise SystemExit(carry_out(server(name, runtime_dir), wish))
