import time

from msgspec.structs import replace

from changeover.supervisor.cli.progress import Progress
from changeover.supervisor.core.outcome import Strategy
from changeover.supervisor.core.records.cutover import (
    CommitDecided,
    CutoverAborted,
    CutoverBegan,
    CutoverCompleted,
    PhaseBegan,
    WorkerActivated,
    WorkerPrepared,
    WorkerRefused,
)
from changeover.supervisor.core.records.part import PartBegan, PartServes, PartsReverted, PartsReverting
from changeover.supervisor.core.records.plugin import (
    MigrationBegan,
    MigrationDone,
    MigrationLeft,
    MigrationUndone,
    StateNotTaken,
)
from changeover.supervisor.core.records.preflight import PreflightCompleted, PreflightSkipped
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.staffing import Scaled
from changeover.supervisor.telemetry.teller import Teller
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.fake_control import DEPLOY, REFUSAL, SUMMARY


def test_a_roll_in_parts_is_followed_part_by_part_and_on_its_way_back() -> None:
    teller, progress = Teller(), Progress("shop")
    worker = (WorkerId(2, 3, 4), 4127)
    for record in (
        CutoverBegan(8, DEPLOY, SUMMARY, 7, 1, Strategy.ROLL),
        PartBegan(8, 1, 3, 1),
        PhaseBegan(8, "preparing"),
        WorkerPrepared(*worker, 8, 0.2),
        CommitDecided(8, 7),
        WorkerActivated(*worker, 8, 1),
        PartServes(8, 1, 3, 1, 7, (3,)),
        PartsReverting(8, "part 1 of 3", 7, "slot 0: does not import"),
    ):
        teller.tell(record)
    lines = [line for told in teller.stream.since(0) for line in progress.take(told)]
    assert lines[0].startswith("shop  epoch 7 -> 8  roll to 1 worker ")
    assert lines[1] == "  part       1 of 3"
    assert lines[2].startswith("  prepare    1/1  ")
    assert lines[3].startswith("  commit     1/1  ")
    assert lines[3].endswith("   slots 3")
    assert lines[4] == "  reverting  slot 0: does not import"


def followed(*records: Record) -> tuple[list[str], Progress]:
    teller, progress = Teller(), Progress("shop")
    for record in records:
        teller.tell(record)
    return [line for told in teller.stream.since(0) for line in progress.take(told)], progress


def test_where_workers_are_asked_past_the_deadline_they_are_counted_from_when_the_first_were_asked() -> None:
    teller, progress = Teller(), Progress("shop")
    phases = ("preparing", "inquiring", "preparing")
    for record in (CutoverBegan(8, DEPLOY, SUMMARY, 7, 1), *(PhaseBegan(8, phase) for phase in phases)):
        teller.tell(record)
    began, asked, *later = teller.stream.since(0)
    for after, told in enumerate((began, asked, *later)):
        progress.take(replace(told, at=asked.at + 60.0 * after))
    assert progress.drawing(asked.at + 240.0)[-2] == "  prepare    0/1  3 min"


def test_a_preflight_is_said_to_have_passed_before_the_workers_are_counted() -> None:
    begun = (CutoverBegan(8, DEPLOY, SUMMARY, 7, 1), PhaseBegan(8, "preflighting"))
    lines, progress = followed(*begun)
    assert next(line for line in progress.drawing(time.time()) if line not in lines).startswith("  preflight  ...  ")
    lines, progress = followed(
        *begun, PreflightCompleted(8, 0.0404, 3, 2, 2, ("plugin geo: thread poller still runs",))
    )
    assert lines[1:] == [
        "  preflight  passed in 40.4 ms  (3 modules, 2 of 2 self-tests)",
        "             warning: plugin geo: thread poller still runs",
    ]
    assert progress.drawing(time.time())[-2].startswith("  prepare    0/1  ")


def test_a_preflight_that_refuses_is_the_last_line_before_the_outcome() -> None:
    lines, progress = followed(
        CutoverBegan(8, DEPLOY, SUMMARY, 7, 1),
        PhaseBegan(8, "preflighting"),
        PhaseBegan(8, "aborting"),
        CutoverAborted(8, "preflight: plugin geo ended by SIGSEGV", (REFUSAL,), DEPLOY, 7),
    )
    assert lines[1].startswith("  preflight  REFUSED after ")
    assert progress.drawing(time.time()) == tuple(lines)


ROLL = CutoverBegan(8, DEPLOY, SUMMARY, 7, 4, Strategy.ROLL)


def test_the_zygote_of_a_roll_is_preloaded_before_its_plugins_are_rehearsed_and_no_worker_is_waited_for() -> None:
    begun = (ROLL, PhaseBegan(8, "preloading"))
    lines, progress = followed(*begun)
    [under_way] = progress.drawing(time.time())[len(lines) :]
    assert under_way.startswith("  preload    ...  ")
    lines, progress = followed(*begun, PhaseBegan(8, "preflighting"))
    assert lines[1].startswith("  preload    done in ")
    [under_way] = progress.drawing(time.time())[len(lines) :]
    assert under_way.startswith("  preflight  ...  ")


def test_a_rehearsal_whose_zygote_is_lost_says_so_before_the_next_one_is_preloaded() -> None:
    phases = ("preloading", "preflighting", "preloading")
    lines, _ = followed(ROLL, *(PhaseBegan(8, phase) for phase in phases))
    assert [line.split(" after ")[0].split(" in ")[0] for line in lines[1:]] == [
        "  preload    done",
        "  preflight  lost its zygote",
    ]


def test_a_roll_that_ends_while_its_zygote_preloads_says_so() -> None:
    lines, progress = followed(
        ROLL, PhaseBegan(8, "preloading"), CutoverAborted(8, "no zygote was ready for it", (REFUSAL,), DEPLOY, 7)
    )
    assert lines[1].startswith("  preload    REFUSED after ")
    assert progress.drawing(time.time()) == tuple(lines)


def test_a_cutover_that_nobody_could_rehearse_says_why() -> None:
    lines, _ = followed(
        CutoverBegan(8, DEPLOY, SUMMARY, 7, 1), PhaseBegan(8, "preflighting"), PreflightSkipped(8, "an older program")
    )
    assert lines[1] == "  preflight  skipped: an older program"


def test_a_migration_is_told_behind_the_votes_that_it_followed_and_one_that_failed_with_what_became_of_it() -> None:
    teller, progress = Teller(), Progress("shop")
    worker = (WorkerId(2, 0, 4), 4127)
    refusal = Refusal(Stage.PREPARE, Fault.CONTRACT, "no such column", unit="plugin ledger", hook="migrate")
    for record in (
        CutoverBegan(8, DEPLOY, SUMMARY, 7, 1),
        PhaseBegan(8, "preparing"),
        WorkerPrepared(*worker, 8, 0.2),
        MigrationBegan(*worker, 8, ("ledger",)),
        MigrationDone(*worker, 8, 0.41),
        CommitDecided(8, 7),
        CutoverBegan(9, DEPLOY, SUMMARY, 8, 1),
        WorkerPrepared(*worker, 9, 0.2),
        MigrationBegan(*worker, 9, ("ledger",)),
        WorkerRefused(*worker, 9, refusal),
        MigrationUndone(*worker, 9),
        MigrationLeft(9, "no worker lives that holds the candidate"),
    ):
        teller.tell(record)
    lines = [line for told in teller.stream.since(0) for line in progress.take(told)]
    assert lines[1].startswith("  prepare    1/1  ")
    assert lines[2] == "  migrate    slot 0  0.41 s"
    assert lines[4].startswith("  prepare    0/1  slot 0 REFUSED after ")
    assert lines[5:] == [
        "  migrate    undone by slot 0",
        "  migrate    NOT UNDONE: no worker lives that holds the candidate",
    ]


def test_a_plugin_that_begins_without_state_is_told_once_for_all_workers_with_the_commit() -> None:
    teller, progress = Teller(), Progress("shop")
    workers = [(WorkerId(1, slot, slot + 1), 4127 + slot) for slot in range(2)]
    why = "nothing says which versions it takes"
    for record in (
        CutoverBegan(8, DEPLOY, SUMMARY, 7, 2),
        PhaseBegan(8, "preparing"),
        *(StateNotTaken(*worker, "counter", "1.1.0", "1.0.0", why) for worker in workers),
        *(WorkerPrepared(*worker, 8, 0.2) for worker in workers),
        CommitDecided(8, 7),
        CutoverBegan(9, DEPLOY, SUMMARY, 8, 2),
        *(WorkerPrepared(*worker, 9, 0.2) for worker in workers),
        CommitDecided(9, 8),
    ):
        teller.tell(record)
    lines = [line for told in teller.stream.since(0) for line in progress.take(told)]
    assert [line for line in lines if "counter" in line] == [
        "  state      counter 1.1.0 begins without that of 1.0.0: nothing says which versions it takes"
    ]
    assert lines[1].startswith("  prepare    2/2  ")
    assert "counter" in lines[2]


def slot(number: int) -> tuple[WorkerId, int]:
    return WorkerId(2, number, number + 1), 4127 + number


def test_workers_that_answer_about_another_epoch_are_not_counted() -> None:
    lines, progress = followed(
        CutoverBegan(8, DEPLOY, SUMMARY, 7, 3),
        PhaseBegan(8, "preparing"),
        WorkerPrepared(*slot(0), 8, 0.2),
        CutoverBegan(9, DEPLOY, SUMMARY, 7, 3),
        PhaseBegan(9, "preparing"),
        WorkerPrepared(*slot(0), 9, 0.2),
        WorkerRefused(*slot(1), 8, REFUSAL.refusal),
        WorkerPrepared(*slot(2), 8, 0.2),
        CutoverAborted(8, "no", (), DEPLOY, 7),
    )
    assert not any("REFUSED" in line for line in lines)
    under_way = progress.drawing(time.time())[len(lines) :]
    assert under_way[0].startswith("  prepare    1/3  ")
    assert under_way[1] == "  workers    0+ · ·"


def test_a_scale_in_a_roll_is_counted_in_and_never_more_answer_than_are_asked() -> None:
    begun = (
        CutoverBegan(8, DEPLOY, SUMMARY, 7, 3, Strategy.ROLL),
        PhaseBegan(8, "preparing"),
        Scaled(3, 5),
        *(WorkerPrepared(*slot(number), 8, 0.2) for number in range(5)),
    )
    lines, progress = followed(*begun)
    assert progress.drawing(time.time())[len(lines)].startswith("  prepare    5/5  ")
    lines, progress = followed(*begun, Scaled(5, 2))
    assert progress.drawing(time.time())[len(lines)].startswith("  prepare    2/2  ")


def test_a_scale_in_a_swap_is_counted_beside_those_who_are_asked_already() -> None:
    lines, progress = followed(
        CutoverBegan(8, DEPLOY, SUMMARY, 7, 3),
        PhaseBegan(8, "preparing"),
        Scaled(4, 5),
        WorkerPrepared(*slot(0), 8, 0.2),
    )
    assert progress.drawing(time.time())[len(lines)].startswith("  prepare    1/4  ")


def test_how_far_parts_have_come_is_known_until_all_serve_the_same_again() -> None:
    first = PartServes(8, 1, 3, 1, 7, (3,))
    begun = (CutoverBegan(8, DEPLOY, SUMMARY, 7, 1, Strategy.ROLL), CommitDecided(8, 7), first)
    assert followed(*begun)[1].parted == first
    last = (
        CutoverBegan(9, DEPLOY, SUMMARY, 7, 3, Strategy.ROLL),
        CutoverCompleted(9, 7, DEPLOY, 3, SUMMARY, 0.1, 0.1, 0.1, restores=4),
    )
    assert followed(*begun, *last)[1].parted is None
    back = (
        PartsReverting(8, "part 1 of 3", 7, "no"),
        CutoverBegan(10, DEPLOY, SUMMARY, 7, 3),
        CutoverCompleted(10, 7, DEPLOY, 3, SUMMARY, 0.1, 0.1, 0.1, restores=7),
    )
    assert followed(*begun, *back)[1].parted == replace(first, others=10)
    assert followed(*begun, *back, PartsReverted(8, 10))[1].parted is None
