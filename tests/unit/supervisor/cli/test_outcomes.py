import msgspec
import pytest

from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.cli.outcomes import Workers, ended_before, exit_of, lines, refusal_lines
from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.outcome import Committed, MissingWorker, NeedsRoll, Planned, Refused, Unchanged
from changeover.supervisor.core.records.part import PartServes
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import Snapshot

RAISED = ["Traceback (most recent call last):", *(f'  File "geo.py", line {line}' for line in range(9)), "KeyError: 3"]
FATAL = ["Fatal Python error: Segmentation fault", "", "Current thread 0x7f88 (most recent call first):"]


def told(traceback: list[str], most: int | None = 3) -> list[str]:
    refusal = Refusal(Stage.PREPARE, Fault.CRASH, "was ended by signal 11", traceback="\n".join(traceback))
    first, summary, *lines = refusal_lines(SlotRefusal(1, 4127, refusal), most)
    assert (first, summary) == ("  slot 1 (pid 4127)  prepare", "  was ended by signal 11")
    return [line.removeprefix("    |").removeprefix(" ") for line in lines]


def test_of_a_traceback_the_end_is_shown_where_the_error_is() -> None:
    assert told(RAISED) == ["(8 lines more)", *RAISED[-3:]]


def test_of_the_stack_of_a_dead_process_the_beginning_is_shown_where_it_died() -> None:
    stack = [*FATAL, *(f'  File "geo.py", line {line} in locate' for line in range(9))]
    assert told(stack, 4) == [*FATAL, '  File "geo.py", line 0 in locate', "(8 lines more)"]


def test_of_the_stacks_of_several_threads_the_one_that_stands_where_it_hangs_comes_first() -> None:
    idle = ["Thread 0x1 (most recent call first):", '  File "thread.py", line 167 in _work', ""]
    hung = ["Current thread 0x2 (most recent call first):", '  File "geo.py", line 18 in on_load', '  File "hooks.py"']
    refusal = Refusal(Stage.PREFLIGHT, Fault.TIMEOUT, "not done within 60 s", where="geo.py:18")
    written = msgspec.structs.replace(refusal, traceback="\n".join([*idle, *hung, "", "Task a"]))
    told = list(refusal_lines(SlotRefusal(-1, 0, written), 4))
    assert told[2:] == [f"    | {line}".rstrip() for line in (*hung, "", "(5 lines more)")]


def test_a_traceback_that_only_says_the_reason_again_is_left_out() -> None:
    assert told(["changeover.workers.plugins.refused.ContractBroken: was ended by signal 11"]) == []
    assert told(["RuntimeError: something else"]) == ["RuntimeError: something else"]


def test_explain_shows_all_of_it() -> None:
    assert told(RAISED, None) == RAISED


def test_what_is_wrong_on_disk_is_told_without_a_worker_that_nobody_asked() -> None:
    mistake = "/srv/shop/plugins/geo/plugin.toml: $.idd: unknown key; did you mean `id`?"
    refusal = SlotRefusal(-1, 0, Refusal(Stage.SCAN, Fault.CONTRACT, mistake))
    assert list(refusal_lines(refusal, 6)) == [f"  {mistake}"]


def test_what_is_not_taken_is_told_below_the_reasons_of_a_refused_scan() -> None:
    refusal = SlotRefusal(-1, 0, Refusal(Stage.SCAN, Fault.CONTRACT, "geo 1.0 has no service more"))
    refused = Refused(3, refusals=(refusal,), summary=("not taken: prices 1.0.1",))
    assert list(lines(refused, Workers(2), "changeover reload")) == [
        "refused (exit 1): nothing changed, epoch 3 serves in all 2 workers",
        "  geo 1.0 has no service more",
        "  not taken: prices 1.0.1",
    ]


def test_all_that_a_cutover_left_out_is_named_where_its_first_line_could_not() -> None:
    settings = tuple(f"not taken: {name} (needs a restart)" for name in ("workers", "backlog", "umask", "user"))
    first, *named = lines(Committed(3, workers=2, summary=("geo 1.1", *settings)), Workers(2), "changeover reload")
    assert first.startswith("done  epoch 3 serves in all 2 workers")
    assert named == [f"  {each}" for each in settings]
    few = lines(Committed(3, workers=2, summary=settings[:2]), Workers(2), "changeover reload")
    assert len([*few]) == 1


def test_forcing_is_no_advice_for_what_is_disabled() -> None:
    disabled = "not taken: geo (disabled, changed on disk)"
    told = list(lines(Unchanged(3, notes=(disabled,)), Workers(2), "changeover reload"))
    assert told[0] == "nothing changed: what can be taken from disk is epoch 3, which serves"
    assert told[1:] == [f"  {disabled}", "next: another `reload` under [plugins], or [plugins.ID], has it taken"]
    also = list(lines(Unchanged(3, notes=(disabled, "app (needs a roll)")), Workers(2), "changeover reload"))
    assert "--force" in also[-1]


def test_where_nothing_changed_the_advice_has_what_reads_templates_anew_too() -> None:
    *_, advice = lines(Unchanged(3), Workers(2), "changeover reload")
    assert "--force" in advice
    assert "`--strategy roll` in new processes" in advice


def test_what_differs_and_is_not_taken_is_not_said_to_be_what_serves() -> None:
    noted = "no plugin: plugins.geo"
    whole, part = (
        next(iter(lines(Unchanged(3, notes=notes), Workers(2), "changeover reload")))
        for notes in ((noted,), (noted, "not taken: geo (held)"))
    )
    assert whole == "nothing changed: what is on disk is epoch 3, which serves"
    assert part == "nothing changed: what can be taken from disk is epoch 3, which serves"


@pytest.mark.parametrize("line", ["app: 1 file (needs a roll)", "geo (needs a roll: native module _geo)", "workers"])
def test_where_a_roll_takes_what_no_swap_can_that_is_the_advice(line: str) -> None:
    roll, restart = (
        list(lines(NeedsRoll(3, changed=(line,), rolls=rolls), Workers(2), "again")) for rolls in (True, False)
    )
    assert roll[1:] == [f"  {line}", "next: `changeover reload`, which rolls"]
    assert restart[1:] == [f"  {line}", "next: restart the server to take it"]


def test_a_roll_in_parts_that_was_reverted_names_each_part() -> None:
    parts = ("part 1 of 3 (epoch 8) was committed, and reverted by epoch 10",)
    told = list(lines(Refused(10, reason="slot 2: does not import", epoch=9, parts=parts), Workers(3), "again"))
    assert told[:2] == [
        "refused (exit 1): what had changed is reverted, epoch 10 serves in all 3 workers",
        "  part 1 of 3 (epoch 8) was committed, and reverted by epoch 10",
    ]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((), ""),
        ((1, 1, 1), ", in 3 parts of 1 worker each, one after the other"),
        ((2, 2, 1), ", in 3 parts of 2 workers each, the last of 1, one after the other"),
    ],
)
def test_a_dry_run_says_how_many_parts_there_would_be_and_of_which_sizes(parts: tuple[int, ...], said: str) -> None:
    planned = Planned(7, candidate=Snapshot(8, "next", (), rolled=8), summary=("app",), parts=parts)
    assert next(lines(planned, Workers(5), "again")) == f"would change, by a roll to 5 workers beside epoch 7{said}:"


STOP = "the service is stopping: asked to stop"
AFTER_A_STOP = (
    "next: the next start takes what is on disk, unless `boot` says otherwise; "
    "`changeover run --boot=last` serves epoch 7"
)


def test_a_roll_in_parts_that_the_end_of_the_service_cut_short_is_not_said_to_be_reverted() -> None:
    parts = ("part 1 of 3 (epoch 8) was committed, and is not reverted", "of 3 workers, 2 served epoch 7")
    told = lines(Refused(7, reason=STOP, epoch=9, parts=parts, stopping=True), Workers(3), "again")
    assert list(told) == [
        "refused (exit 1): cut short by the end of the service, and nothing is reverted",
        *(f"  {part}" for part in parts),
        f"  {STOP}",
        AFTER_A_STOP,
    ]


def test_parts_that_a_journal_nobody_can_write_keeps_are_not_said_to_be_reverted() -> None:
    parts = ("part 1 of 3 (epoch 8) was committed, and is to be reverted",)
    reason = "the journal cannot be written: no space left on device"
    told = lines(Refused(7, reason=reason, epoch=9, parts=parts, reverts=True), Workers(3), "again")
    assert list(told) == [
        "refused (exit 1): what had changed is to be reverted, as soon as the journal can be written",
        f"  {parts[0]}",
        f"  {reason}",
    ]


def test_what_the_end_of_the_service_refused_is_not_said_to_leave_anybody_who_serves() -> None:
    told = list(
        lines(Refused(7, reason=STOP, epoch=8, stopping=True), Workers(1, ("slot 1 lost its worker",)), "again")
    )
    assert told == ["refused (exit 1): nothing changed, and the service is stopping", f"  {STOP}", AFTER_A_STOP]
    assert list(lines(Refused(0, reason=STOP, stopping=True), Workers(0), "again"))[1:] == [f"  {STOP}"]


def test_a_server_that_ended_between_two_parts_is_told_with_who_serves_what_and_what_comes_next() -> None:
    told = ended_before(PartServes(9, 2, 3, 2, 7, (4,)), 3).splitlines()
    assert told == [
        "the server ended before the outcome was known",
        "  when last heard of, epoch 9 (part 2 of 3) served in 2 of 3 workers, epoch 7 in all others; those that live "
        "serve on",
        "next: start it again: with workers that live it goes back to what epoch 7 is, without any it takes what is on "
        "disk, unless `boot` says otherwise",
    ]
    assert ended_before(None, 3).endswith("see `changeover history` once it runs again")


SEGFAULT = Refusal(
    Stage.PREFLIGHT, Fault.CRASH, "ended by SIGSEGV", "plugin geo", "on_load", output="\n".join("abcdefgh") + "\n"
)


def refused(refusal: Refusal) -> list[str]:
    outcome = Refused(3, epoch=4, refusals=(SlotRefusal(-1, 0, refusal),))
    return list(lines(outcome, Workers(2), "changeover reload"))[1:]


def test_a_preflight_that_refused_says_so_and_shows_the_end_of_what_was_written() -> None:
    assert refused(SEGFAULT) == [
        "  preflight  plugin geo  on_load",
        "  ended by SIGSEGV",
        "  it wrote:",
        "    > (2 lines more)",
        *(f"    > {letter}" for letter in "cdefgh"),
        "next: fix, then `changeover reload` (also tries the same content again) | all of it: `changeover explain 4`",
    ]
    assert list(refusal_lines(SlotRefusal(-1, 0, SEGFAULT), None))[3] == "    > a"


def test_a_mistake_of_our_own_is_said_to_be_one() -> None:
    ours = Refusal(Stage.PREFLIGHT, Fault.INTERNAL, "TypeError: no", "channel 127.0.0.1:7000", "initializer lines")
    assert refused(ours)[:3] == [
        "  preflight  channel 127.0.0.1:7000  initializer lines",
        "  TypeError: no",
        "  this is a mistake of changeover's own: please report it, with all of it",
    ]


def test_where_no_preflight_could_be_had_there_is_nothing_to_mend() -> None:
    nobody = Refusal(Stage.PREFLIGHT, Fault.RESOURCE, "no zygote takes orders now")
    assert refused(nobody) == [
        "  preflight",
        "  no zygote takes orders now",
        "  the reason may pass: the same content can be tried again as it is",
    ]


def test_where_slots_have_no_worker_that_serves_the_number_and_the_reasons_are_told() -> None:
    parked = MissingWorker(2, "parked: 5 exits in 60 s (SIGSEGV)")
    first, *_ = lines(Committed(3, workers=3, missing=(parked,)), Workers(3), "changeover reload")
    assert first.startswith("done  epoch 3 serves in 3 of 4 workers (slot 2 is parked: 5 exits in 60 s (SIGSEGV))  (")
    several = (parked, *(MissingWorker(slot, "starting") for slot in (3, 4, 5)))
    first, *_ = lines(Committed(3, workers=1, missing=several), Workers(1), "changeover reload")
    named = f"{parked}, slot 3 is starting, slot 4 is starting and 1 more"
    assert first.startswith(f"done  epoch 3 serves in 1 of 5 workers ({named})  (")
    [first, *_] = lines(Refused(3, reason="no"), Workers(3, (str(parked),)), "changeover reload")
    assert first == f"refused (exit 1): nothing changed, epoch 3 serves in 3 of 4 workers ({parked})"


def test_what_is_committed_and_served_by_nobody_is_not_done() -> None:
    nobody = Committed(3, workers=0)
    assert exit_of(nobody) is Exit.REFUSED
    first, following = lines(nobody, Workers(0), "changeover reload")
    assert first.startswith("committed (exit 1): epoch 3 is to serve, and no worker lives that does")
    assert following.startswith("next: `changeover status`")
