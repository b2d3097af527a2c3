"""What `after_fork` prepares in each worker is there in a rehearsal too, and what is wrong with it accuses nobody."""

import json
import os
import time

import msgspec
import pytest

from changeover.workers.protocol.rehearsal import RehearsalReport
from changeover.workers.protocol.snapshot import UnitKind, UnitRef
from tests.rehearsing import OWN, Orders, kept

GEO = UnitRef(UnitKind.PLUGIN, "geo")
TOLD = "TOLD_AFTER_FORK"
SAYS = OWN + (
    f"    def on_load(self, ctx): print('on_load', os.environ.get('{TOLD}'))\n"
    f"    def on_reload(self, ctx, old): print('on_reload', os.environ.get('{TOLD}'))\n"
)


def prepare(told: dict[str, object]) -> None:
    os.environ[TOLD] = json.dumps(told)


def fail(told: dict[str, object]) -> None:
    raise ConnectionError("no database")


def hang(told: dict[str, object]) -> None:
    time.sleep(60)


def end(told: dict[str, object]) -> None:
    os._exit(7)


def rehearsed(orders: Orders, named: str, *left_out: UnitRef, within: float = 5.0) -> RehearsalReport:
    """A swap, where a function of this module, or a command, is named to be called after each fork."""
    order = orders.order(SAYS + "# 2\n", current=(SAYS,))
    function = f"{__name__}:{named}" if named in globals() else named
    return kept(msgspec.structs.replace(order, after_fork=function, after_fork_within=within, left_out=left_out))


def test_it_is_called_before_anything_is_loaded_and_told_that_this_is_no_worker(orders: Orders) -> None:
    report = rehearsed(orders, "prepare")
    assert (report.refusal, report.warnings) == (None, ())
    hooks, said = zip(*(line.split(" ", 1) for line in report.output.splitlines()), strict=True)
    assert (hooks, len(set(said))) == (("on_load", "on_reload", "on_load"), 1)
    told = json.loads(said[0])
    assert (told["hook"], told["slot"], told["incarnation"]) == ("after_fork", -1, 0)


@pytest.mark.parametrize(("named", "why"), [("fail", "ConnectionError('no database')"), ("hang", "TimeoutError(")])
def test_one_that_fails_is_a_warning(orders: Orders, named: str, why: str) -> None:
    report = rehearsed(orders, named, within=0.2)
    assert report.refusal is None
    [warning] = report.warnings
    assert warning.startswith(f"after_fork {__name__}:{named} failed in a preflight: {why}")
    assert report.output == "on_load None\non_reload None\non_load None\n"


def alone(orders: Orders, named: str) -> RehearsalReport:
    """The first plugin of a service."""
    order = orders.order(SAYS, current=())
    return kept(msgspec.structs.replace(order, after_fork=f"{__name__}:{named}"))


def test_it_is_called_too_where_nothing_that_serves_is_loaded(orders: Orders) -> None:
    for report in (rehearsed(orders, "prepare", GEO), alone(orders, "prepare")):
        assert (report.refusal, report.warnings) == (None, ())
        assert '"hook": "after_fork"' in report.output


def test_one_that_ends_the_process_is_in_the_way(orders: Orders) -> None:
    for report in (rehearsed(orders, "end"), alone(orders, "end")):
        assert report.refusal is None
        assert report.skipped == (
            "what serves cannot be loaded in a preflight: it ended its process with status 7 in server hook after_fork"
        )
        assert report.barred == "server hook"


def test_nobody_can_be_in_the_way_as_one_that_let_a_rehearsal_through_before(orders: Orders) -> None:
    report = rehearsed(orders, "end", GEO)
    assert report.skipped == ""
    assert report.refusal is not None
    assert report.refusal.summary == "it ended its process with status 7 in server hook after_fork"


def test_a_command_is_not_run(orders: Orders) -> None:
    assert rehearsed(orders, "touch /no/such/folder/x").warnings == ()
