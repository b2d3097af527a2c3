"""What a status says of plugins that were replaced: where each is in use, and then where it is not released yet."""

import msgspec
import pytest

from changeover.supervisor.core.retirement import State
from changeover.supervisor.draining import DrainingPlugin, draining
from changeover.workers.protocol import messages
from changeover.workers.protocol.snapshot import UnitKey, UnitKind, UnitRef
from tests.machines import OLD, Bench, replaced, unit


@pytest.fixture
def bench() -> Bench:
    return replaced()


def test_it_drains_where_it_is_in_use_and_retires_where_it_is_not_released(bench: Bench) -> None:
    first, second = bench.workers
    assert draining(bench.view) == (DrainingPlugin("pricing", 1, State.DRAINING, (0, 1)),)
    bench.hear(first, messages.Drained, 2, (OLD,))
    assert draining(bench.view) == (DrainingPlugin("pricing", 1, State.DRAINING, (1,)),)
    bench.hear(second, messages.Drained, 2, (OLD,))
    assert draining(bench.view) == (DrainingPlugin("pricing", 1, State.RETIRING, (0, 1)),)
    bench.hear(first, messages.Retired, 2, (OLD,))
    bench.hear(second, messages.Retired, 2, (OLD,))
    assert draining(bench.view) == ()


def test_the_oldest_is_told_first_and_what_is_no_plugin_not_at_all(bench: Bench) -> None:
    [old] = bench.view.leftovers
    pipeline = UnitKey(UnitRef(UnitKind.PIPELINE, "pricing:quote"), "d", 1)
    further = [msgspec.structs.replace(old, unit=key) for key in (unit("geo", 3), unit("ads", 1), pipeline)]
    seen = msgspec.structs.replace(bench.view, leftovers=(*further, old))
    assert [(each.id, each.since) for each in draining(seen)] == [("ads", 1), ("pricing", 1), ("geo", 3)]


def test_a_slot_in_which_two_workers_have_it_is_named_once(bench: Bench) -> None:
    [old] = bench.view.leftovers
    rolling = msgspec.structs.replace(bench.view, leftovers=(msgspec.structs.replace(old, used_by=(0, 0, 1)),))
    assert [each.slots for each in draining(rolling)] == [(0, 1)]
