"""A rescue takes a process with packages of then for a record of now: nobody takes it for one that imported that."""

import msgspec
import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.entries import Recovered
from changeover.supervisor.core.events import Timer, TimerKind, ZygoteFound
from changeover.supervisor.core.outcome import Action, Strategy
from changeover.supervisor.core.zygote import State
from changeover.supervisor.views import alarms
from changeover.workers.protocol.snapshot import ApplicationSpec, Snapshot
from tests.machines import JOURNAL, RELOAD, SECRET, Bench
from tests.unit.supervisor.core.test_rescue import back, come_up, crash_of, crew, replaced, rolled, with_packages

ALARM = "imported the application with other packages than epoch 5 names"


@pytest.fixture
def bench() -> Bench:
    """Epoch 5 took epoch 4, which differs in packages alone and crashed, back to what epoch 3 was."""
    bench = rolled()
    replaced(bench)
    crash_of(bench, 4)
    bench.feed(events.Scanned(5, with_packages(back(5), "foo 1.2")))
    bench.be_born()
    come_up(bench, 5)
    for worker in crew(bench, 4):
        bench.feed(events.WorkerExited(worker, 0))
    bench.forget()
    return bench


def kept(bench: Bench) -> int:
    [cohort] = [each.cohort for each in bench.view.zygotes if each.state is State.KEPT]
    return cohort


def mended(epoch: int) -> Snapshot:
    """Other code, with the packages that are installed now."""
    made = with_packages(back(epoch), "foo 1.2").snapshot
    units = (
        msgspec.structs.replace(each, artifact="mended", key=msgspec.structs.replace(each.key, digest="mended"))
        if isinstance(each, ApplicationSpec)
        else each
        for each in made.units
    )
    return msgspec.structs.replace(made, units=tuple(units), digest="mended")


def roll_on(bench: Bench) -> None:
    """Epoch 6 has mended code."""
    bench.feed(events.CutoverRequested(6, msgspec.structs.replace(RELOAD, strategy=Strategy.ROLL)))
    bench.find_only(mended(6))
    bench.preload()
    come_up(bench, 6)
    for worker in crew(bench, 5):
        bench.feed(events.WorkerExited(worker, 0))
    bench.forget()


def ask_back(bench: Bench, record: str) -> None:
    """Somebody asks for epoch 5 again, while `record` is what is installed."""
    bench.feed(events.CutoverRequested(7, msgspec.structs.replace(RELOAD, action=Action.ROLLBACK, to=5)))
    bench.feed(events.Scanned(7, with_packages(back(7), record)))


def test_a_later_rollback_gets_a_new_zygote_and_no_mixture(bench: Bench) -> None:
    roll_on(bench)
    ask_back(bench, "foo 1.2")
    [started] = bench.all(effects.StartZygote)
    assert started.application is not None
    assert started.application.distributions == "foo 1.2"


def test_a_later_rollback_takes_it_where_what_it_imported_with_is_installed_again(bench: Bench) -> None:
    roll_on(bench)
    cohort = kept(bench)
    ask_back(bench, "foo 1.1")
    assert not bench.all(effects.StartZygote)
    assert {fork.worker.cohort for fork in bench.all(effects.Fork)} == {cohort}


def test_a_later_rescue_takes_it_too(bench: Bench) -> None:
    roll_on(bench)
    cohort = kept(bench)
    crash_of(bench, 6)
    bench.forget()
    bench.feed(events.Scanned(7, with_packages(back(7), "foo 1.2")))
    assert {fork.worker.cohort for fork in bench.all(effects.Fork)} == {cohort}


def test_a_rollback_takes_one_whose_workers_import_after_the_fork_whatever_was_installed_when_it_was_made() -> None:
    bench = rolled()
    replaced(bench, "numpy")
    cohort = kept(bench)
    bench.feed(events.CutoverRequested(5, msgspec.structs.replace(RELOAD, action=Action.ROLLBACK, to=3)))
    bench.feed(events.Scanned(5, with_packages(back(5), "foo 1.3")))
    assert not bench.all(effects.StartZygote)
    assert {fork.worker.cohort for fork in bench.all(effects.Fork)} == {cohort}


def test_and_not_where_the_code_is_other_code() -> None:
    bench = rolled()
    replaced(bench, "numpy")
    bench.feed(events.CutoverRequested(5, msgspec.structs.replace(RELOAD, action=Action.ROLLBACK, to=3)))
    bench.feed(events.Scanned(5, msgspec.structs.replace(back(5), snapshot=mended(5))))
    assert len(bench.all(effects.StartZygote)) == 1


def test_it_is_an_alarm_until_a_zygote_that_follows_it_has_imported_with_what_is_installed(bench: Bench) -> None:
    [serving] = [each for each in bench.view.zygotes if each.rolled == 5]
    assert any(ALARM in alarm for alarm in alarms(bench.view, {}, ""))
    bench.feed(events.ZygoteLost(serving.cohort, "was ended by signal 9"))
    bench.fire(Timer(TimerKind.ZYGOTE, serving.cohort))
    assert not any(ALARM in alarm for alarm in alarms(bench.view, {}, ""))


def test_it_stays_an_alarm_when_a_swap_is_committed(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(6, RELOAD))
    made = with_packages(back(6), "foo 1.2").snapshot
    bench.find_only(msgspec.structs.replace(made, rolled=5, digest="swapped"))
    bench.prepare(6)
    bench.activate(6)
    assert bench.view.epoch == 6
    assert any("than epoch 6 names" in alarm for alarm in alarms(bench.view, {}, ""))


def test_once_it_is_only_kept_it_is_none(bench: Bench) -> None:
    roll_on(bench)
    assert alarms(bench.view, {}, "") == ()


def test_an_application_that_no_zygote_imports_is_mixed_with_nothing() -> None:
    made = with_packages(back(1), "foo 1.2").snapshot
    units = (
        msgspec.structs.replace(each, preload=False) if isinstance(each, ApplicationSpec) else each
        for each in made.units
    )
    bench = Bench()
    serve_on(bench, msgspec.structs.replace(made, units=tuple(units)), "foo 1.1")
    assert not any(each.mixes for each in bench.view.zygotes)


def serve_on(bench: Bench, committed: Snapshot, imported: str) -> None:
    """A later supervisor finds a zygote that says what it imported with."""
    recovered = Recovered(JOURNAL, epoch=committed.epoch, committed=committed)
    bench.feed(events.Booted(recovered, 2, SECRET, 1, (ZygoteFound(1, committed.rolled, imported),)))
    bench.feed(events.ZygoteReady(1))


def test_one_whose_workers_import_after_the_fork_mixes_nothing() -> None:
    recovered = with_packages(back(1), "foo 1.2").snapshot
    bench = Bench()
    bench.feed(
        events.Booted(
            Recovered(JOURNAL, epoch=1, committed=recovered),
            2,
            SECRET,
            1,
            (ZygoteFound(1, recovered.rolled, "foo 1.1"),),
        )
    )
    bench.feed(events.ZygoteReady(1, threads=("numpy",)))
    assert [each.mixes for each in bench.view.zygotes] == [False]


@pytest.mark.parametrize(("imported", "mixed"), [("foo 1.1", True), ("foo 1.2", False), ("", False)])
def test_a_later_supervisor_hears_of_it_from_the_zygote_itself(imported: str, *, mixed: bool) -> None:
    bench = Bench()
    serve_on(bench, with_packages(back(1), "foo 1.2").snapshot, imported)
    assert [each.mixes for each in bench.view.zygotes] == [mixed]
