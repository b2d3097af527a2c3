import msgspec
import pytest

from changeover.supervisor.core.entries import Origin, SlotRefusal, Trigger
from changeover.supervisor.core.outcome import ExtraMemory, MissingWorker, Strategy
from changeover.supervisor.core.records.boot import BootFellBack
from changeover.supervisor.core.records.cutover import CutoverAborted, CutoverBegan, CutoverCompleted
from changeover.supervisor.core.records.pipeline import PipelineEventTold
from changeover.supervisor.core.records.plugin import (
    HookStalled,
    LeadershipMoved,
    MigrationBegan,
    MigrationDone,
    MigrationLeft,
    MigrationUndone,
    PluginsMoved,
)
from changeover.supervisor.core.records.preflight import PreflightCompleted, PreflightSkipped, PreflightWeak
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.request import RequestRefused
from changeover.supervisor.core.records.retirement import LeakFound, LeasesEnded, ReleaseProved
from changeover.supervisor.core.records.staffing import LastSlotWaits, SlotWaits, ZygoteLost, ZygoteStarted
from changeover.supervisor.core.records.worker import FarewellsSaid, WorkerExited, WorkerHangs
from changeover.supervisor.telemetry import shell
from changeover.supervisor.telemetry.amounts import seconds
from changeover.supervisor.telemetry.details import details
from changeover.supervisor.telemetry.phrases import by, exit_status
from changeover.supervisor.telemetry.reference import every_record
from changeover.supervisor.telemetry.stream import Level
from changeover.supervisor.telemetry.wording import word
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import Farewell, LeaseView, OwedResponse
from changeover.workers.protocol.observed import PipelineEventKind
from changeover.workers.protocol.plugin_messages import PluginMove
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import UnitKey, UnitKind, UnitRef
from tests.fake_control import DEPLOY, REFUSAL, SUMMARY, TRACEBACK

WORKER = WorkerId(1, 2, 3)
UNIT = UnitKey(UnitRef(UnitKind.PLUGIN, "pricing"), "9c41ab", 7)
EXAMPLES: dict[object, object] = {
    WorkerId: WORKER,
    Origin: DEPLOY,
    Refusal: REFUSAL.refusal,
    OwedResponse: OwedResponse("/report", 7, 601.0),
    UnitKey: UNIT,
    Farewell: Farewell.OVERDUE,
    PipelineEventKind: PipelineEventKind.HANDLER_FAILED,
    str: "words",
    int: 7,
    float: 0.5,
    bool: True,
    int | None: None,
}


def example(shape: type[Record]) -> Record:
    """A record with something in every field that must be given."""
    given = {field.name: EXAMPLES.get(field.type, ()) for field in msgspec.structs.fields(shape) if field.required}
    return shape(**given)


def test_below_a_worker_that_hangs_stand_its_stacks_and_what_the_request_awaits() -> None:
    owed = OwedResponse("/report", 7, 601.0, ("in report", "in wait"))
    record = WorkerHangs(WORKER, 41, owed, "Thread 0x1\n  in run")
    assert word(record).line.startswith("slot 2 (pid 41) owes a response for 10 min: /report on epoch 7; ")
    assert list(details(record)) == ["Thread 0x1", "  in run", "awaits: in report", "awaits: in wait"]


@pytest.mark.parametrize("kind", PipelineEventKind)
def test_every_kind_of_pipeline_event_says_where_it_happened_and_how_often(kind: PipelineEventKind) -> None:
    line = word(PipelineEventTold(WORKER, 41, kind, "shop", "pricing:discount", "KeyError: 'EUR'", 12)).line
    assert line == f"slot 2 (pid 41), pipeline shop, pricing:discount: {kind.value} (12 times): KeyError: 'EUR'"


def test_a_pipeline_event_that_happened_once_and_has_no_names_is_short() -> None:
    record = PipelineEventTold(WORKER, 41, PipelineEventKind.BACKPRESSURE_BEGAN, "", "", "", 1)
    assert word(record).line == "slot 2 (pid 41): backpressure began"


@pytest.mark.parametrize("shape", every_record(), ids=lambda shape: shape.__name__)
def test_every_record_has_words_on_one_line(shape: type[Record]) -> None:
    worded = word(example(shape))
    assert worded.line
    assert "\n" not in worded.line


def test_an_abort_names_the_way_on_and_gives_every_traceback() -> None:
    record = CutoverAborted(9, "slot 2 refused", (REFUSAL,), Origin(Trigger.HUP), 8)
    worded = word(record)
    assert worded.level is Level.ERROR
    assert "epoch 9 refused: slot 2 refused; nothing changed, epoch 8 serves on" in worded.line
    assert "changeover explain 9" in worded.line
    below = list(details(record))
    assert below[0].startswith("slot 2 (pid 4127): plugin pricing on_load: TimeoutError")
    assert below[1:] == TRACEBACK.splitlines()


def test_where_nothing_serves_yet_no_epoch_0_is_said_to() -> None:
    boot = Origin(Trigger.BOOT)
    assert word(CutoverBegan(3, boot, SUMMARY, 0, 4)).line.startswith("epoch 3 by boot   pricing")
    refused = word(CutoverAborted(3, "slot 2 refused", (REFUSAL,), boot, 0))
    assert refused.line == "epoch 3 refused: slot 2 refused; nothing serves yet", "nobody lives who could explain it"


def test_leases_that_ended_early_are_named_with_why_and_those_that_cannot_end() -> None:
    ended = tuple(LeaseView("http", 1, f"/{number}", 12.0) for number in range(5))
    record = LeasesEnded(WORKER, 41, 3, 2, ended, (LeaseView("task", 1, "/thread", 90.0),))
    worded = word(record)
    assert worded.level is Level.WARNING
    assert worded.line == (
        "slot 2 (pid 41) has more than 2 resident copies of a unit since epoch 3 serves: ended the oldest leases: "
        "http /0 on epoch 1, 12 s old; http /1 on epoch 1, 12 s old; http /2 on epoch 1, 12 s old and 2 more; "
        "cannot end task /thread on epoch 1, 90 s old"
    )
    below = list(details(record))
    assert below[4:] == ["ended: http /4 on epoch 1, 12 s old", "cannot be ended: task /thread on epoch 1, 90 s old"]
    alone = word(LeasesEnded(WORKER, 41, 3, 2, (), record.stuck)).line
    assert alone.endswith("and cannot end what holds the oldest: task /thread on epoch 1, 90 s old")


def test_the_lives_of_plugins_are_told_plugin_by_plugin() -> None:
    one, two = (UnitKey(UnitRef(UnitKind.PLUGIN, name), "9c41ab77", 6) for name in ("pricing", "geo"))
    moves = (PluginMove(one, "Loaded"), PluginMove(one, "Linked"), PluginMove(two, "Active"))
    assert word(PluginsMoved(WORKER, 41, moves)).line == (
        "slot 2 (pid 41): plugin pricing 9c41ab since epoch 6 is Loaded, then Linked; "
        "plugin geo 9c41ab since epoch 6 is Active"
    )
    assert word(HookStalled(WORKER, 41, "plugin pricing", "on_activate", 0.0712)).line == (
        "slot 2 (pid 41): plugin pricing on_activate kept the loop from running for 71.2 ms: "
        "no request got on meanwhile"
    )


def test_who_leads_and_who_migrates_is_told_and_what_nobody_undid_is_an_error() -> None:
    who = WORKER, 41
    assert [
        word(record).line
        for record in (
            LeadershipMoved(*who),
            MigrationBegan(*who, 7, ("ledger", "geo")),
            MigrationDone(*who, 7, 0.41),
            MigrationUndone(*who, 7),
        )
    ] == [
        "slot 2 (pid 41) leads: the exclusive work of plugins runs there",
        "slot 2 (pid 41) migrates for epoch 7: ledger, geo",
        "slot 2 (pid 41) has migrated for epoch 7 in 0.41 s",
        "slot 2 (pid 41) has undone what was migrated for epoch 7, which is aborted",
    ]
    left = word(MigrationLeft(7, "no worker lives that holds the candidate"))
    assert (left.level, left.line) == (
        Level.ERROR,
        "what was migrated for epoch 7, which is aborted, is not undone: no worker lives that holds the candidate; "
        "look at it by hand",
    )


def test_a_leak_is_a_warning_with_an_address_and_a_proof_is_for_those_who_look() -> None:
    unit, what = "plugin pricing 9c41ab since epoch 6", "module pricing.py is alive"
    found = word(LeakFound(WORKER, 41, unit, what, ("module shop.HOOKS", "list", "function stop")))
    assert (found.level, found.line) == (
        Level.WARNING,
        "slot 2 (pid 41) released plugin pricing 9c41ab since epoch 6, but module pricing.py is alive, held by "
        "module shop.HOOKS -> list -> function stop; see: changeover leaks",
    )
    assert ", but thread poller still runs; see" in word(LeakFound(WORKER, 41, unit, "thread poller still runs")).line
    key = UnitKey(UnitRef(UnitKind.PLUGIN, "pricing"), "9c41ab77", 6)
    proved = word(ReleaseProved(WORKER, 41, (key, key), 0.0123))
    assert (proved.level, proved.line) == (
        Level.DEBUG,
        "slot 2 (pid 41) looked for 2 released units in 12.3 ms: everything is gone",
    )
    assert word(ReleaseProved(WORKER, 41, (key,), 0.0123, 2)).line.endswith(": 2 leaks")


def test_what_was_held_is_named_below_a_refusal() -> None:
    note = "not taken: prices 1.1.0 (held; change it, or --force)"
    assert list(details(RequestRefused(Origin(Trigger.HUP), "held", (), ("app unchanged", note)))) == [note]


def test_what_is_wrong_on_disk_is_said_to_come_from_the_scan_once() -> None:
    mistake = Refusal(Stage.SCAN, Fault.CONFIG, "changeover.toml: $.nmae: unknown key; did you mean `name`?")
    record = RequestRefused(Origin(Trigger.HUP), mistake.summary, (SlotRefusal(-1, 0, mistake),))
    assert list(details(record)) == [f"scan: {mistake.summary}"]


def test_a_slot_says_when_its_next_worker_comes() -> None:
    assert word(SlotWaits(2, 0.0, 1)).line == "slot 2 gets its next worker at once: 1 exit of late"
    last = word(LastSlotWaits(2, "6 exits in 60 s (was ended by signal 11)", 4.0)).line
    assert last == (
        "slot 2 gets its next worker in 4.00 s: 6 exits in 60 s (was ended by signal 11); it is not parked, because no "
        "other slot could serve"
    )
    assert word(SlotWaits(2, 1.5, 3)).line == "slot 2 gets its next worker in 1.50 s: 3 exits of late"


def test_a_death_says_whether_it_was_expected() -> None:
    assert word(WorkerExited(WORKER, 41, -11, False)).line == "slot 2 (pid 41) died with SIGSEGV"
    assert word(WorkerExited(WORKER, 41, 0, True)).line == "slot 2 (pid 41) left with status 0"
    assert word(WorkerExited(WORKER, 41, -11, False)).level is Level.WARNING


def test_a_zygote_that_cannot_preload_is_an_error_with_its_traceback_and_one_told_to_leave_is_none() -> None:
    refused = ZygoteLost(1, "exited", refusal=REFUSAL.refusal)
    assert word(refused).level is Level.ERROR
    assert "plugin pricing on_load: TimeoutError" in word(refused).line
    assert list(details(refused)) == TRACEBACK.splitlines()
    told_by_its_cutover = ZygoteLost(1, "exited", refusal=REFUSAL.refusal, refuses=True)
    assert (word(told_by_its_cutover).level, [*details(told_by_its_cutover)]) == (Level.DEBUG, [])
    assert word(ZygoteLost(1, "it was told to leave", expected=True)).level is Level.DEBUG
    assert word(ZygoteLost(1, "killed")).level is Level.WARNING


def test_a_roll_that_needs_more_memory_than_there_is_warns_before_it_is_done() -> None:
    began = CutoverBegan(8, DEPLOY, SUMMARY, 7, 4, Strategy.ROLL)
    assert word(began).level is Level.INFO
    enough = msgspec.structs.replace(began, memory=ExtraMemory(4, 85 << 20))
    assert word(enough).level is Level.INFO
    assert word(enough).line.endswith("; needs at most about 340 M beside what is there, for 4 workers of 85 M")
    short = msgspec.structs.replace(began, memory=ExtraMemory(4, 85 << 20, available=120 << 20, exact=True))
    assert word(short).level is Level.WARNING
    assert word(short).line.endswith("for 4 workers of 85 M; warning: only 120 M available")


def test_a_zygote_that_met_threads_names_whose_and_what_follows() -> None:
    assert word(ZygoteStarted(2, False)).level is Level.DEBUG
    worded = word(ZygoteStarted(2, False, ("numpy", "shop.pool")))
    assert worded.level is Level.INFO
    assert "workers import after the fork, because importing numpy, shop.pool started threads" in worded.line


def test_an_end_in_error_says_its_status() -> None:
    assert word(shell.Finished("asked to stop")).level is Level.INFO
    failed = word(shell.Finished("no module named shop", 4))
    assert (failed.level, failed.line) == (Level.ERROR, "finished with status 4: no module named shop")


def test_a_completed_cutover_says_how_long_each_phase_took() -> None:
    record = CutoverCompleted(8, 7, DEPLOY, 4, SUMMARY, 0.18, 0.0011, 0.62)
    assert word(record).line == (
        "epoch 8 serves in all 4 workers   pricing 1.4.0 -> 1.5.0, app unchanged   "
        "(prepare 0.18 s, commit 1.1 ms, 0.62 s in all)"
    )
    missing = msgspec.structs.replace(record, workers=3, missing=(MissingWorker(2, "starting: was ended by SIGSEGV"),))
    assert word(missing).line.startswith(
        "epoch 8 serves in 3 of 4 workers (slot 2 is starting: was ended by SIGSEGV)   "
    )
    rehearsed = msgspec.structs.replace(record, preflight=0.0404)
    assert "   (preflight 40.4 ms, prepare 0.18 s, commit" in word(rehearsed).line


def test_a_preflight_is_for_those_who_look_unless_something_is_amiss() -> None:
    passed = word(PreflightCompleted(8, 0.0404, 1))
    assert (passed.level, passed.line) == (Level.DEBUG, "epoch 8 passed its preflight in 40.4 ms (1 module)")
    amiss = word(PreflightCompleted(8, 0.0404, 20, 1, 3, ("plugin geo: thread poller still runs",)))
    assert (amiss.level, amiss.line) == (
        Level.WARNING,
        "epoch 8 passed its preflight in 40.4 ms (20 modules, 1 of 3 self-tests), and: "
        "plugin geo: thread poller still runs",
    )
    assert word(PreflightSkipped(8, "an older program")).level is Level.WARNING
    assert "no landlock; no seccomp" in word(PreflightWeak(("no landlock", "no seccomp"))).line


def test_below_a_refused_preflight_stands_the_end_of_what_was_written() -> None:
    output = "".join(f"line {number}\n" for number in range(30))
    refusal = Refusal(Stage.PREFLIGHT, Fault.CRASH, "ended by SIGSEGV", "plugin geo", "on_load", output=output)
    told = list(details(CutoverAborted(8, "refused", (SlotRefusal(-1, 0, refusal),), None, 7)))
    assert told == ["plugin geo on_load: ended by SIGSEGV", *(f"> line {number}" for number in range(10, 30))]


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (Origin(Trigger.HUP, uid=0), "HUP"),
        (Origin(Trigger.COMMAND, "deploy", 1001), "deploy (uid 1001)"),
        (Origin(Trigger.API, "", 1001), "uid 1001"),
        (Origin(Trigger.API), "api"),
    ],
)
def test_who_asked_is_named_as_well_as_it_is_known(origin: Origin, words: str) -> None:
    assert by(origin) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0011, "1.1 ms"), (0.62, "0.62 s"), (75, "75 s"), (240, "4 min"), (7300, "2 h"), (260000, "3 d")],
)
def test_durations_are_rounded_for_people(value: float, words: str) -> None:
    assert seconds(value) == words


def test_an_exit_status_nobody_could_read_is_said_to_be_unknown() -> None:
    assert (exit_status(None), exit_status(3), exit_status(-99)) == ("unknown status", "status 3", "signal 99")


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (Farewell.OVERDUE, "40 of class stream that outlived the drain deadline"),
        (Farewell.UNTAKEN, "40 of class stream that no successor took in time"),
        (Farewell.FIXED, "40 of class stream that cannot go on in another process"),
    ],
)
def test_what_could_not_be_handed_over_is_counted(why: Farewell, words: str) -> None:
    worded = word(FarewellsSaid(WORKER, 41, "stream", why, 40, 612.0))
    assert worded.level is Level.WARNING
    assert worded.line == f"slot 2 (pid 41) leaves and ended {words}; the oldest was 10 min old"


def test_addresses_are_worded() -> None:
    changed = shell.AddressesChanged(("a:1",), ("a:1",), ("b:2", "c:3"), 5.0)
    assert word(changed).line == "listening on a:1; until nobody comes there for 5 s, also on b:2, c:3"
    assert word(shell.AddressesChanged(("a:1",), ("a:1",), (), 5.0)).line == "listening on a:1"
    assert word(shell.AddressClosed("b:2")).line == "b:2 is closed"
    assert word(shell.AddressClosed("b:2", waiting=True)).level is Level.WARNING
    amiss = word(shell.AddressesAmiss(("a:1",), ("b:2",)))
    assert amiss.level is Level.ERROR
    assert "`changeover reload` takes the addresses of the configuration" in amiss.line


def test_a_start_that_falls_back_tells_what_is_not_taken_and_leaves_the_traceback_to_what_was_refused() -> None:
    fell_back = BootFellBack(7, "it does not load", (REFUSAL,), ("not taken: prices 1.1", "geo 1.0 -> 1.1"))
    assert list(details(fell_back)) == ["not taken: prices 1.1"]
