"""Load processes and bare peers as the benchmarks use them: real processes, real sockets."""

import pytest
from benchmarks.bare_hub import bare
from benchmarks.load.process import LoadBroken, running, total
from benchmarks.load.record import Kind, Mix

FAST = Mix(busy=2, idle=1, fresh=1, silent=0, post=0, dribble=1, stream=0, long=0)


def test_busy_peers_answer_broadcasts_while_they_answer_a_load() -> None:
    with bare(2, busy=True, burn=10_000) as hub:
        assert hub.address is not None
        with running(hub.address, FAST, processes=2) as load:
            fans = [hub.fan() for _ in range(20)]
            reports = load.stop()
    totals = total(reports)
    assert all(0 < fan < 5 for fan in fans)
    assert totals.faults == {}, totals.troubles
    assert set(totals.requests) == {Kind.BUSY, Kind.IDLE, Kind.FRESH, Kind.DRIBBLE}


def test_idle_peers_answer_broadcasts() -> None:
    with bare(3, busy=False) as hub:
        assert len([hub.fan() for _ in range(50)]) == 50


def test_a_load_that_breaks_is_no_result() -> None:
    with running(("127.0.0.1", 1), FAST) as load:
        load.kill()
        with pytest.raises(LoadBroken):
            load.stop()
