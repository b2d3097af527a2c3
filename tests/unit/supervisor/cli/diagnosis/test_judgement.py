from collections.abc import Sequence

import msgspec

from changeover.supervisor.cli.diagnosis import judgement
from changeover.supervisor.cli.diagnosis.judgement import Check, Verdict
from changeover.supervisor.cli.diagnosis.measurements import Amounts, Answered, Change, Look, Measured, Plan
from changeover.supervisor.cli.diagnosis.probe import WorkerCensus
from changeover.workers.protocol.examination import Examination, Kind, Left, ModuleTime

MEBIBYTE = 1024 * 1024
PLAN = Plan("shop:app", workers=2, swaps=20, rolls=20, path="/", within=2.0, preload=True)
ALONE = Examination(
    imported=0.5,
    started=0.1,
    modules=(
        ModuleTime("pandas.core", 0.3),
        ModuleTime("shop.rules", 0.2),
        ModuleTime("pandas", 0.1),
        ModuleTime("shop", 0.01),
    ),
)
LISTENING = Left("shop.db", Kind.SOCKET, "TCP 127.0.0.1:40112 -> 127.0.0.1:6379")
LOG = Left("shop.log", Kind.APPENDED, "/var/log/shop.log")


def amounts(rss: int = 100 * MEBIBYTE, threads: int = 8, tasks: int = 6, descriptors: int = 40) -> Amounts:
    return Amounts(rss, rss // 2, threads, {"socket": descriptors}, {"MainThread": 2}, {"shop.poll": tasks})


def look(requests: int = 0, workers: Amounts | None = None, instances: int = 1, pids: Sequence[int] = (1, 2)) -> Look:
    said = {pid: WorkerCensus(pid, instances, {}, {}) for pid in pids}
    return Look(requests, said, workers or amounts(), amounts(), amounts())


def grown(**by: int) -> tuple[Look, ...]:
    """Looks of workers of which one amount grows in each half by so much."""
    [(what, step)] = by.items()
    first = {"rss": 100 * MEBIBYTE, "threads": 8, "tasks": 6, "descriptors": 40}[what]
    return tuple(look(n * 500, amounts(**{what: first + n * step})) for n in range(3))


def test_an_application_that_is_well_is_told_to_be() -> None:
    looks = (look(), look(500), look(1000))
    made = tuple(Change(0.1) for _ in range(20))
    load = Answered(1000)
    checks = judgement.judge(Measured(PLAN, 1.0, 200, ALONE, made, load, looks, made, load, looks))
    assert [check.verdict for check in checks] == [Verdict.OK] * 7
    assert not any(check.advice for check in checks)


def test_what_an_import_leaves_is_named_with_its_module() -> None:
    alone = msgspec.structs.replace(ALONE, threads=("shop.metrics",), left=(LISTENING, LISTENING, LOG))
    check = judgement.fork_safe(alone, preload=True)
    assert (check.verdict, check.figure) == (Verdict.FOUND, "the import leaves: thread, 2 x socket")
    assert check.details[:2] == (
        "shop.metrics starts a thread",
        "shop.db leaves a socket: TCP 127.0.0.1:40112 -> 127.0.0.1:6379",
    )
    assert "lifespan's startup" in check.advice
    assert "workers import after the fork" in check.advice


def test_a_log_may_be_shared_and_is_told_all_the_same() -> None:
    check = judgement.fork_safe(msgspec.structs.replace(ALONE, left=(LOG,)), preload=True)
    assert (check.verdict, check.advice) == (Verdict.OK, "")
    assert check.details == ("shop.log keeps a file opened for appending, which may be shared: /var/log/shop.log",)


def test_workers_that_import_for_themselves_share_nothing() -> None:
    check = judgement.fork_safe(msgspec.structs.replace(ALONE, left=(LISTENING,)), preload=False)
    assert (check.verdict, check.figure) == (
        Verdict.OK,
        "workers import for themselves (preload is off): socket in each",
    )


def test_a_slow_boot_names_packages_by_their_own_code() -> None:
    assert judgement.boots_fast(ALONE, 0.6).verdict is Verdict.OK
    check = judgement.boots_fast(ALONE, 0.5)
    assert check.verdict is Verdict.FOUND
    assert check.figure == "0.60 s of 0.50 s: import 0.50 s (4 modules), instance and startup 0.10 s"
    assert check.details == (
        "0.40 s  pandas  (2 modules; pandas.core 0.30 s)",
        "0.21 s  shop  (2 modules; shop.rules 0.20 s)",
        "0.10 s  instance and lifespan startup",
    )


def test_an_import_that_fails_beside_another_process_is_a_finding() -> None:
    alone = Examination("OSError: [Errno 98] Address already in use")
    for check in (judgement.fork_safe(alone, True), judgement.boots_fast(alone, 2.0)):
        assert check.verdict is Verdict.FOUND
        assert "Address already in use" in check.figure


def test_plugins_alone_leave_questions_open() -> None:
    assert judgement.fork_safe(None, preload=False).verdict is Verdict.UNKNOWN
    assert judgement.boots_fast(None, 2.0).verdict is Verdict.UNKNOWN
    check = judgement.keeps_instance((look(instances=0), look(instances=0)), 20)
    assert (check.verdict, check.figure) == (
        Verdict.UNKNOWN,
        "no application; the same 2 processes after 20 swaps",
    )


def test_another_instance_or_process_after_the_swaps_is_found() -> None:
    again = judgement.keeps_instance((look(), look(instances=3)), 20)
    assert (again.verdict, again.details) == (Verdict.FOUND, ("pid 1 made 2 more", "pid 2 made 2 more"))
    dead = judgement.keeps_instance((look(pids=(1, 2)), look(pids=(1, 3))), 20)
    assert (dead.verdict, dead.details) == (Verdict.FOUND, ("pid 2 ended",))
    assert judgement.keeps_instance((look(),), 0).verdict is Verdict.UNKNOWN


def test_the_first_failure_is_shown_with_its_reason() -> None:
    made = (Change(0.5), Change(1.5, failure=("no connection to db:5432", "shop/db.py:41")))
    check = judgement.changes("rolls", made, 20, Answered(100))
    assert check.verdict is Verdict.FOUND
    assert check.figure == "1/20 committed, 1.00 s each, 1.50 s at most; 100 requests, 0 failed, 0 closed"
    assert check.details == ("number 2: no connection to db:5432", "shop/db.py:41", "in seconds: 0.50 1.50")


def test_each_duration_is_told_as_long_as_they_fit_a_line() -> None:
    made = tuple(Change(n / 10) for n in range(23))
    [line] = judgement.changes("swaps", made, 23, Answered(100)).details
    assert line.startswith("in seconds: 0.00 0.10 0.20 ")
    assert line.endswith(" 1.80 1.90 and 3 more")


def test_a_lost_request_or_connection_is_found_though_all_were_committed() -> None:
    made = (Change(0.5, 2.0),) * 2
    for load in (Answered(100, ("keep-alive: 503", "keep-alive: 503", "late"), 0), Answered(100, (), 1)):
        check = judgement.changes("rolls", made, 2, load)
        assert check.verdict is Verdict.FOUND
        assert f"{len(load.failures)} failed, {load.closes} closed" in check.figure
        assert "what they replaced gone 2.00 s later at most" in check.figure
    assert judgement.changes("rolls", made, 2, Answered(100)).verdict is Verdict.OK


def test_what_was_not_tried_is_no_finding_and_no_success() -> None:
    assert judgement.changes("rolls", (), 20, Answered()).figure == "not tried"
    assert judgement.changes("rolls", (), 0, Answered()).figure == "none wanted"
    assert judgement.grows("swaps leave nothing", (look(), look()), ("workers",)).verdict is Verdict.UNKNOWN


def test_each_amount_that_grows_in_both_halves_is_found() -> None:
    for looks, name in (
        (grown(rss=9 * MEBIBYTE), "memory"),
        (grown(threads=2), "threads"),
        (grown(tasks=3), "tasks"),
        (grown(descriptors=3), "descriptors"),
    ):
        check = judgement.grows("swaps leave nothing", looks, ("workers",))
        assert (check.verdict, check.figure) == (
            Verdict.FOUND,
            f"still growing after 1,000 requests: {name} of the workers",
        )


def test_what_grew_is_named() -> None:
    check = judgement.grows("swaps leave nothing", grown(descriptors=3), ("workers",))
    assert check.details == ("descriptors of the workers 40 -> 43 -> 46: socket +6",)


def test_a_pool_that_fills_up_once_is_no_leak() -> None:
    for sizes in ((8, 40, 40), (8, 8, 40), (40, 8, 40)):
        looks = tuple(look(500, amounts(threads=size)) for size in sizes)
        assert judgement.grows("swaps leave nothing", looks, ("workers",)).verdict is Verdict.OK


def test_processes_of_ours_are_asked_the_same() -> None:
    looks = tuple(Look(0, {}, amounts(), amounts(descriptors=40 + 5 * n), amounts()) for n in range(3))
    check: Check = judgement.grows("rolls leave nothing", looks, ("supervisor", "zygote"))
    assert "descriptors of the supervisor" in check.figure
    assert "zygote" not in check.figure
