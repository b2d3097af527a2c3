"""Load processes and bare peers as the benchmarks use them: real processes, real sockets."""

import os
import signal

import pytest
from benchmarks import swap
from benchmarks.bare_hub import bare
from benchmarks.household import surplus
from benchmarks.killing.holdings import least
from benchmarks.killing.premises import disquiet
from benchmarks.load.process import LoadBroken, running, total
from benchmarks.load.record import Kind, Mix
from benchmarks.roll import Roller
from benchmarks.samples import Stores, samples
from benchmarks.subject import Kind as Replaced
from benchmarks.subject import Subject, SubjectBroken, parent, serving, until

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


def test_an_application_is_rolled_under_a_load_and_every_step_is_timed() -> None:
    with serving(2, Replaced.APPLICATION) as subject:
        roller = Roller(subject)
        with running(subject.address, FAST) as load:
            roll = roller.roll()
            lived = roller.lived()
            reports = load.stop()
    totals = total(reports)
    assert totals.faults == {}, totals.troubles
    assert len(lived) == 2
    assert roll.asked < roll.stored < roll.outcome
    assert min(roll.boot, roll.commit) > 0
    answers = list(samples(reports))
    assert {sample.epoch for sample in answers} == {1, roll.epoch}
    assert not Stores([(roll.epoch, roll.stored)]).late(answers)


def test_a_refused_roll_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "DEADLINE", 5.0)
    with serving(1, Replaced.APPLICATION) as subject:
        subject.contents.append("main.py", "raise RuntimeError('broken on import')\n")
        with pytest.raises(SubjectBroken, match="broken on import"):
            Roller(subject).roll()


def await_quiet(subject: Subject, least: int) -> None:
    until(lambda: not disquiet(subject, least), 30.0, lambda: disquiet(subject, least), 0.05)


def test_what_processes_hold_of_their_own_is_the_same_beside_a_kept_zygote_and_one_that_forked_nobody() -> None:
    with serving(2, Replaced.APPLICATION) as subject:
        roller = Roller(subject)
        await_quiet(subject, roller.roll().epoch)  # a loop that has had a stream holds one descriptor more for ever
        first = least(subject, {})
        epoch = roller.roll().epoch
        await_quiet(subject, epoch)
        kept, forking = subject.status().zygotes
        assert surplus(first, least(subject, first)) == {}
        [zygote] = set(map(parent, subject.workers().values()))
        os.kill(zygote, signal.SIGKILL)
        until(
            lambda: [each.cohort for each in subject.status().zygotes] == [kept.cohort, forking.cohort + 1], 30.0, str
        )
        await_quiet(subject, epoch)
        assert surplus(first, least(subject, first)) == {}
