"""When a supervisor that is told to die does, and what counts as explained by a kill."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import pytest
from benchmarks.chaos import judged
from benchmarks.contents import Contents
from benchmarks.killing.cutovers import MODULE, Cutover, Staging
from benchmarks.killing.dying import FILE, Watch
from benchmarks.killing.moments import ADOPTION, Fate, Moment, Side, of_roll, of_swap
from benchmarks.killing.reckoning import Seen, reckon
from benchmarks.killing.trial import Trial, unadopted
from benchmarks.killing.victims import kill_and_name
from benchmarks.load.record import Fault, Kind, LoadReport, Tally
from benchmarks.samples import PartStores, Stores
from benchmarks.subject import Subject, residents
from benchmarks.zygotes import cohort, named, unnamed

from changeover.supervisor.control import StatusView, ZygoteState, ZygoteView
from changeover.supervisor.core import effects, entries, events
from changeover.workers.protocol import messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from tests.fake_control import FakeControl
from tests.waits import until_sync

STAMP = Stamp("journal", 1, 7)
FIRST, SECOND = (events.Received(messages.Prepared(STAMP, WorkerId(1, slot, slot))) for slot in range(2))


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Signals that were sent."""
    monkeypatch.chdir(tmp_path)
    return []


def name(moment: Moment) -> None:
    FILE.write_bytes(msgspec.json.encode(moment))


def test_it_dies_on_the_named_side_of_the_named_step_and_nowhere_else(sent: list[int]) -> None:
    watch, store = Watch(sent.append), effects.StoreCell(8)
    watch.passes(Side.BEFORE, effects.StoreCell(7))
    name(Moment(Side.AFTER, "StoreCell"))
    watch.passes(Side.BEFORE, store)
    assert sent == []
    watch.passes(Side.AFTER, store)
    assert sent == [signal.SIGKILL]


def test_what_workers_say_is_counted_once_for_each_worker(sent: list[int]) -> None:
    watch = Watch(sent.append)
    name(Moment(Side.BEFORE, "hear Prepared", 2, signal=signal.SIGTERM))
    for heard in (FIRST, FIRST):
        watch.passes(Side.BEFORE, heard)
        watch.passes(Side.AFTER, heard)
    assert sent == []
    watch.passes(Side.BEFORE, SECOND)
    watch.passes(Side.AFTER, SECOND)
    assert sent == [signal.SIGTERM]


def test_what_is_written_is_known_from_what_was_to_be_written(sent: list[int]) -> None:
    watch = Watch(sent.append)
    name(Moment(Side.BEFORE, "Committed written"))
    watch.passes(Side.BEFORE, effects.Persist(3, entries.PreparingBegun(8)))
    watch.passes(Side.BEFORE, effects.Persist(4, entries.Committed(8)))
    watch.passes(Side.BEFORE, events.Persisted(3))
    assert sent == []
    watch.passes(Side.BEFORE, events.Persisted(4))
    assert len(sent) == 1


def test_a_moment_that_is_taken_back_does_not_come(sent: list[int]) -> None:
    watch = Watch(sent.append)
    name(Moment(Side.AFTER, "hear Prepared", 2))
    watch.passes(Side.BEFORE, FIRST)
    FILE.unlink()
    watch.passes(Side.BEFORE, SECOND)
    watch.passes(Side.AFTER, SECOND)
    assert sent == []


@pytest.mark.parametrize("moments", [of_swap(4), of_roll(4), of_swap(2), of_roll(2)])
def test_what_becomes_of_a_cutover_never_falls_back_along_its_steps(moments: tuple[Moment, ...]) -> None:
    fates = [list(Fate).index(moment.fate) for moment in moments]
    assert fates == sorted(fates)
    assert set(fates) == {0, 1, 2}
    assert len(set(map(str, moments))) == len(moments)
    committed = [moment for moment in moments if moment.fate is Fate.COMMITTED]
    assert str(committed[0]) == "before Committed written"
    assert all(moment.fate is Fate.COMMITTED for moment in ADOPTION)


def trial(began: int, contents: dict[int, str]) -> Trial:
    return Trial("swap", "before StoreCell", Fate.COMMITTED, began, began, began, began + 1, began + 2, (), contents)


def test_each_trial_has_what_the_load_met_after_it_began() -> None:
    tally = Tally()
    tally.answered(Kind.BUSY, 1, 2, 50, 1, 0, "one")
    tally.answered(Kind.BUSY, 1, 2, 150, 1, 0, "one")
    tally.answered(Kind.BUSY, 1, 2, 250, 3, 0, "three, but not this one")
    tally.answered(Kind.BUSY, 1, 2, 260, 4, 0, "never committed")
    tally.fault(Kind.BUSY, Fault.EOF_IDLE, 170)
    tally.fault(Kind.BUSY, Fault.SILENCE, 270)
    trials = (trial(100, {2: "two"}), trial(200, {3: "three"}))
    seen = reckon(trials, (tally.report(),), Stores([(1, 10), (2, 140), (3, 240)]), {1: "one"})
    assert seen == (Seen(answers=2, closed=1, late=1), Seen(answers=2, failed=1, wrong=2))


def test_a_part_is_late_by_the_word_that_it_reads_while_others_serve_what_was_before() -> None:
    stores = PartStores([Stores([(1, 10), (4, 400)]), Stores([(0, 10), (2, 200), (3, 300), (4, 401)])])
    assert [epoch for epoch in range(1, 5) if stores.superseded(epoch, 350)] == [2]
    assert [epoch for epoch in range(1, 5) if stores.superseded(epoch, 500)] == [1, 2, 3]


def test_who_was_in_both_words_is_late_only_by_both() -> None:
    stores = PartStores([Stores([(1, 10), (3, 300)]), Stores([(0, 10), (1, 100), (2, 200), (3, 301)])])
    assert not stores.superseded(1, 250)
    assert stores.superseded(1, 350)
    assert stores.superseded(2, 350)


def test_who_was_in_no_word_is_late_once_all_have_a_later_one() -> None:
    stores = PartStores([Stores([(1, 10), (4, 400)]), Stores([(3, 300)])])
    assert [stores.superseded(2, at) for at in (350, 450)] == [False, True]


@pytest.mark.parametrize("fate", [Fate.ABORTED, Fate.COMMITTED, Fate.COMMITTED_LAST])
def test_nobody_is_to_be_started_where_everybody_lives(fate: Fate) -> None:
    assert unadopted((1, 2), frozenset({1, 2, 3}), fate) == []
    assert unadopted((1, 4), frozenset({1, 2, 3}), fate) == ["1 workers were started instead of adopted"]


@pytest.mark.parametrize("fate", [Fate.REVERTED, Fate.REVERTED_LATER])
def test_where_a_part_is_reverted_only_who_relieves_its_worker_is_new(fate: Fate) -> None:
    assert unadopted((1, 4), frozenset({1, 2, 3}), fate) == []
    assert unadopted((4, 5), frozenset({1, 2, 3}), fate) == ["1 workers were started instead of adopted"]


class Place(NamedTuple):
    """What setting a cutover off touches of a server."""

    settings: Path
    contents: Contents


def test_what_migrates_is_as_long_in_every_trial(tmp_path: Path) -> None:
    place = Place(tmp_path / "changeover.toml", Contents(tmp_path))
    place.settings.write_text("")
    migrates, texts = Cutover("migration", of_swap, migrates=True), []
    for _ in range(2):
        Staging(cast("Subject", place), migrates)
        texts.append((place.contents.folder / MODULE).read_text())
    assert texts[0] == texts[1]
    assert texts[0].count("def migrate") == texts[0].count("def note") == 1


def report(*faults: tuple[Fault, int]) -> LoadReport:
    tally = Tally()
    for fault, port in faults:
        tally.fault(Kind.IDLE, fault, 1, port=port)
    return tally.report()


def test_only_an_end_on_a_connection_of_a_killed_worker_is_explained() -> None:
    faults = [
        (Fault.EOF_IDLE, 1),
        (Fault.RESET_WAITING, 2),
        (Fault.STATUS, 1),
        (Fault.ANNOUNCED, 1),
        (Fault.REFUSED, 0),
    ]
    explained, others = judged((report(*faults),), {1})
    assert explained == 1
    assert [trouble.fault for trouble in others] == [fault for fault, _ in faults[1:]]


def test_a_killed_process_is_known_by_the_clients_that_it_took_along(tmp_path: Path) -> None:
    serve = (
        "import socket; s = socket.socket(fileno=0); c = s.accept(), s.accept(); print('ready', flush=True); s.accept()"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with (
            subprocess.Popen(
                [sys.executable, "-c", serve], stdin=listener.fileno(), stdout=subprocess.PIPE, cwd=tmp_path
            ) as process,
            socket.create_connection(("127.0.0.1", port)) as first,
            socket.create_connection(("127.0.0.1", port)) as second,
        ):
            assert process.stdout is not None
            process.stdout.readline()
            assert residents(tmp_path) == (process.pid,)
            assert kill_and_name(process.pid, port) == {first.getsockname()[1], second.getsockname()[1]}
            assert process.wait(5) == -signal.SIGKILL
    assert residents(tmp_path) == ()


@contextmanager
def titled(title: str) -> Iterator[int]:
    """A process that says it is somebody."""
    with subprocess.Popen([title], executable="/bin/cat", stdin=subprocess.PIPE) as process:
        until_sync(lambda: title in Path(f"/proc/{process.pid}/cmdline").read_text(), "it to say so")
        yield process.pid


def status(*zygotes: ZygoteView) -> StatusView:
    return msgspec.structs.replace(FakeControl().status(), zygotes=zygotes)


def test_a_zygote_that_the_supervisor_does_not_name_is_told_from_the_one_that_is_kept() -> None:
    kept = ZygoteView(1, ZygoteState.KEPT, 1, time.time() + 300)
    said = status(kept, ZygoteView(2, ZygoteState.READY, 2))
    with (
        titled("changeover: bench zygote 1 [0 workers]") as first,
        titled("changeover: bench zygote 2 [4 workers]") as second,
        titled("changeover: bench zygote 2 [0 workers]") as again,
        titled("changeover: bench zygote 3 [0 workers]") as third,
        titled("changeover: bench worker 1 [epoch 2]") as worker,
    ):
        assert list(map(cohort, (first, second, third, worker))) == [1, 2, 3, 0]
        assert unnamed(said, (first, second, worker)) == []
        assert unnamed(said, (third, first, again, second)) == [again, third]


def test_only_the_latest_that_forks_and_one_that_is_kept_in_its_time_are_to_be_there() -> None:
    soon = time.time() + 300
    forking = ZygoteView(4, ZygoteState.READY, 4)
    assert named(status(ZygoteView(3, ZygoteState.KEPT, 3, soon), forking)) == {3, 4}
    assert named(status(ZygoteView(3, ZygoteState.KEPT, 3, soon - 301), forking)) == {4}
    assert named(status(ZygoteView(3, ZygoteState.STOPPING, 3), forking)) == {4}
    assert named(status(*(ZygoteView(each, ZygoteState.KEPT, each, soon) for each in (2, 3)), forking)) == {3, 4}


def test_an_empty_slot_is_no_victim() -> None:
    with pytest.raises(ValueError, match="no worker"):
        kill_and_name(0, 80)
