"""Whatever a plugin does in a rehearsal, its keeper reports in time, and nothing of it is left; as root and as anybody,
with all that the kernel has and without."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from changeover.workers.preflight import filtering, keeper, temporary
from changeover.workers.preflight.believing import REASON
from changeover.workers.preflight.namespaces import Separation
from changeover.workers.preflight.temporary import PREFIX
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.protocol.snapshot import UnitKind, UnitRef
from changeover.workers.runtime import landlock
from tests.rehearsing import FINE, HEAD, OWN, Orders, kept, running
from tests.strangers import as_anybody

pytestmark = pytest.mark.xdist_group("as anybody")  # some fork as much as they can, and some count who is there
SLEEPER = ("sleep", f"86411.{os.getpid()}")
"""Nobody else runs that, not even another process of the same tests."""
LATEST = 5.0
"""Seconds after the deadline at which there is a report."""


def as_we_are() -> None:
    """Stay who we are."""


def lack_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "separate", lambda: Separation(missing=("namespaces (none here)",)))


def lack_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on an old kernel, or in a container that allows nothing."""
    lack_namespaces(monkeypatch)
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    monkeypatch.setattr(filtering, "ARCHITECTURES", {})


SURROUNDINGS = {
    "as we are": (as_we_are, None),
    "as anybody": (as_anybody, None),
    "without namespaces": (as_we_are, lack_namespaces),
    "as anybody, without anything": (as_anybody, lack_everything),
}


@pytest.fixture(params=SURROUNDINGS)
def surroundings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What the kernel has, and who the processes are that are forked off."""
    become, lack = SURROUNDINGS[request.param]
    if lack is not None:
        lack(monkeypatch)
    return become


EXTREMES = pytest.mark.parametrize("surroundings", ["as anybody", "as anybody, without anything"], indirect=True)
"""Enough where a real zygote has the same rehearsed in `tests/integration`."""


@dataclass(frozen=True)
class Hostile:
    """A plugin that does what none should."""

    code: str
    fault: Fault
    summary: str
    hook: str = "on_reload"
    settings: dict[str, Any] = field(default_factory=dict)


def on_reload(*lines: str) -> str:
    return OWN + "    def on_reload(self, ctx, old):\n" + "".join(f"        {line}\n" for line in lines)


def at_import(*lines: str) -> str:
    return HEAD + "".join(f"{line}\n" for line in lines) + FINE


def reporting(data: str, times: int) -> str:
    """A plugin that writes into the pipe of which it has one end only, to its keeper."""
    return on_reload(
        "ends = {}",
        "for fd in range(3, 99):",
        "    if os.path.exists(path := f'/proc/self/fd/{fd}'): ends.setdefault(os.readlink(path), []).append(fd)",
        "[pipe] = [fd for link, (fd, *others) in ends.items() if link.startswith('pipe:') and not others]",
        f"for _ in range({times}): os.write(pipe, {data})",
        "os._exit(0)",
    )


HOSTILE = {
    "import error": Hostile(
        at_import("import no_such_module"), Fault.CONTRACT, "ModuleNotFoundError: No module named 'no_such_module'", ""
    ),
    "sys.exit": Hostile(at_import("sys.exit(3)"), Fault.CRASH, "SystemExit: 3", ""),
    "sys.exit in a hook": Hostile(on_reload("sys.exit(3)"), Fault.CRASH, "SystemExit: 3"),
    "os._exit": Hostile(
        on_reload("os._exit(0)"), Fault.CRASH, "it ended its process with status 0 in plugin geo on_reload"
    ),
    "SIGSEGV": Hostile(
        on_reload("ctypes.string_at(0)"), Fault.CRASH, "its process was ended by SIGSEGV in plugin geo on_reload"
    ),
    "SIGKILL": Hostile(
        on_reload("os.kill(os.getpid(), signal.SIGKILL)", "time.sleep(60)"),
        Fault.RESOURCE,
        "its process was killed in plugin geo on_reload, as a rule for want of memory",
    ),
    "endless loop": Hostile(
        on_reload("while True: pass"), Fault.TIMEOUT, "not done within 0.5 s", settings={"hook": 0.5}
    ),
    "endless loop on the loop": Hostile(
        OWN + "    async def on_reload(self, ctx, old):\n        while True: pass\n",
        Fault.TIMEOUT,
        "not done within 1.5 s in plugin geo on_reload",
        settings={"deadline": 1.5},
    ),
    "hook that hangs": Hostile(
        OWN + "    async def on_reload(self, ctx, old): await asyncio.Event().wait()\n",
        Fault.TIMEOUT,
        "not done within 0.3 s",
        settings={"hook": 0.3},
    ),
    "fork bomb": Hostile(on_reload("while True: os.fork()"), Fault.RESOURCE, "BlockingIOError: [Errno 11]"),
    "fork bomb that goes on": Hostile(
        on_reload("while True:", "    try: os.fork()", "    except OSError: pass"),
        Fault.TIMEOUT,
        "not done within 0.5 s",
        settings={"hook": 0.5, "processes": 8},
    ),
    "10 GB": Hostile(
        on_reload("bytearray(10 << 30)"), Fault.RESOURCE, "MemoryError: a preflight has 512 MiB beyond what it begins"
    ),
    "stdout flooding": Hostile(
        on_reload("while True: print('x' * 10_000)"), Fault.TIMEOUT, "not done within 0.5 s", settings={"hook": 0.5}
    ),
    "a report of its own": Hostile(reporting("b'nonsense'", 1), Fault.CRASH, "it reported what is no report", ""),
    "an endless report": Hostile(reporting("bytes(4096)", 300), Fault.CRASH, "it reported more than", ""),
}


@EXTREMES
@pytest.mark.parametrize("kind", HOSTILE)
def test_every_end_is_a_refusal_in_time(kind: str, surroundings: Callable[[], None], orders: Orders) -> None:
    hostile = HOSTILE[kind]
    order = orders.order(hostile.code, **hostile.settings)
    began = time.monotonic()
    report = kept(order, surroundings)
    assert time.monotonic() - began < order.settings.deadline + LATEST
    refusal = report.refusal
    assert refusal is not None
    assert (refusal.stage, refusal.fault) == (Stage.PREFLIGHT, hostile.fault), refusal
    assert refusal.summary.startswith(hostile.summary)
    if hostile.hook or kind in ("import error", "sys.exit"):
        assert (refusal.unit, refusal.hook) == ("plugin geo", hostile.hook)
    assert len(report.output) <= 64 * 1024
    assert 0 < report.took < order.settings.deadline + LATEST


def test_a_good_one_passes(surroundings: Callable[[], None], orders: Orders) -> None:
    report = kept(orders.order(on_reload("print('hello')", "print('from geo', file=sys.stderr)")), surroundings)
    assert report.refusal is None
    assert (report.modules, report.output, report.warnings) == (1, "hello\nfrom geo\n", ())


@EXTREMES
@pytest.mark.parametrize("kind", ["endless loop", "endless loop on the loop", "SIGSEGV"])
def test_where_it_was_is_told(kind: str, surroundings: Callable[[], None], orders: Orders) -> None:
    refusal = kept(orders.order(HOSTILE[kind].code, **HOSTILE[kind].settings), surroundings).refusal
    assert refusal is not None
    assert refusal.where == "geo.py:5"
    assert 'File "geo.py", line 5 in on_reload' in refusal.traceback.replace(", in ", " in ")


@pytest.mark.parametrize("ending", ["pass", "os._exit(1)", "raise RuntimeError", "os.kill(os.getpid(), 9)"])
def test_no_process_is_left(ending: str, surroundings: Callable[[], None], orders: Orders) -> None:
    code = on_reload(
        f"subprocess.Popen({SLEEPER!r}, start_new_session=True)",
        "for _ in range(3):",
        "    if os.fork() == 0:",
        "        os.setsid()",
        "        if os.fork() == 0:",
        f"            os.execvp('sleep', {SLEEPER!r})",
        "        os._exit(0)",
        ending,
    )
    report = kept(orders.order(code), surroundings)
    assert (report.refusal is None) == (ending == "pass"), report
    assert report.warnings == ()
    assert running(*SLEEPER) == []


@EXTREMES
def test_only_the_rehearsal_itself_reports_where_its_code_forks(
    surroundings: Callable[[], None], orders: Orders
) -> None:
    code = (
        OWN
        + "    async def on_reload(self, ctx, old):\n"
        + "        if (child := os.fork()): print('child', os.waitpid(child, 0)[0] == child)\n"
    )
    report = kept(orders.order(code), surroundings)
    assert report.refusal is None
    assert report.output.endswith("child True\n")


def test_output_that_floods_is_kept_by_its_end(surroundings: Callable[[], None], orders: Orders) -> None:
    code = on_reload("for number in range(100_000): print(number)", "os.write(1, b'\\xff last')")
    report = kept(orders.order(code, output=1000), surroundings)
    assert report.refusal is None
    assert report.output.endswith("99998\n99999\n\N{REPLACEMENT CHARACTER} last")
    assert len(report.output) == 1000


def test_nothing_is_written_but_temporary_files_where_the_kernel_can_keep_it_from_that(orders: Orders) -> None:
    target = orders.folder / "outside"
    target.mkdir()
    target.chmod(0o777)
    write = f"open({str(target / 'new')!r}, 'w').close()"
    report = kept(orders.order(on_reload(write)), as_anybody)
    if landlock.abi() < landlock.LEAST_ABI:
        assert any(line.startswith("writing by Landlock") for line in report.missing)
        return
    assert report.refusal is not None
    assert (report.refusal.fault, report.refusal.hook) == (Fault.CAPABILITY, "on_reload")
    assert list(target.iterdir()) == []


def test_temporary_files_go_with_it(surroundings: Callable[[], None], orders: Orders) -> None:
    code = on_reload(
        "import tempfile, pathlib", "print(path := tempfile.mkdtemp())", "pathlib.Path(path, 'x').write_text('y')"
    )
    report = kept(orders.order(code), surroundings)
    assert report.refusal is None, report.refusal
    path = report.output.strip()
    assert PREFIX in path
    assert not os.path.exists(os.path.dirname(path))


@EXTREMES
def test_it_gains_no_privileges_by_what_it_executes(surroundings: Callable[[], None], orders: Orders) -> None:
    report = kept(orders.order(on_reload("print([*open('/proc/self/status')])")), surroundings)
    assert report.refusal is None
    assert "'NoNewPrivs:\\t1\\n'" in report.output


@EXTREMES
def test_it_has_a_session_and_a_process_group_of_its_own(surroundings: Callable[[], None], orders: Orders) -> None:
    report = kept(orders.order(on_reload("print(os.getsid(0) == os.getpid() == os.getpgrp())")), surroundings)
    assert (report.refusal, report.output) == (None, "True\n")


def test_its_keeper_cannot_be_ended_by_it(surroundings: Callable[[], None], orders: Orders) -> None:
    code = on_reload("signal.signal(15, signal.SIG_IGN)", "os.kill(0, 15)", "os.kill(os.getppid(), 15)")
    report = kept(orders.order(code), surroundings)
    assert report.refusal is None or report.refusal.unit == "plugin geo"


def test_root_rehearses_as_nobody_and_reads_all_the_same_and_others_stay_who_they_are(orders: Orders) -> None:
    secret = orders.folder / "secret"
    secret.write_text("read")
    secret.chmod(0o600)
    code = on_reload(
        f"import pathlib; secret = pathlib.Path({str(secret)!r})",
        "print(os.getuid(), os.geteuid(), os.getgroups(), secret.read_text())",
        "try: secret.write_text('changed')",
        "except PermissionError: print('not written')",
        "try: os.setuid(0)",
        "except PermissionError: print('not root')",
    )
    report = kept(orders.order(code))
    if os.geteuid() != 0:
        assert report.output.startswith(f"{os.getuid()} {os.geteuid()} ")
    elif not any(line.startswith("another user") for line in report.missing):
        assert report.output == "65534 65534 [] read\nnot written\nnot root\n"


def test_what_the_kernel_lacks_is_left_out_and_named_once(orders: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    lack_everything(monkeypatch)
    report = kept(orders.order(FINE), as_anybody)
    assert report.refusal is None
    assert [line.partition(" (")[0] for line in report.missing] == [
        "namespaces",
        "writing by Landlock",
        "signals by Landlock",
        "a filter of system calls",
    ]


def test_processes_are_limited_however_many_the_same_user_has_elsewhere(orders: Orders) -> None:
    code = on_reload(
        "threads = [threading.Thread(target=time.sleep, args=(9,), daemon=True) for _ in range(40)]",
        "for each in threads: each.start()",
    )
    # The bound counts others when it begins. Forty threads of the preflight before could end only then, and leave room.
    refusal = kept(orders.order(code, processes=20), as_anybody).refusal
    assert refusal is not None
    assert refusal.fault.transient
    assert "can't start new thread: a preflight has 20 processes" in refusal.summary
    assert kept(orders.order(code, processes=400), as_anybody).refusal is None  # others come meanwhile, too


def test_what_serves_and_crashes_here_accuses_nobody(surroundings: Callable[[], None], orders: Orders) -> None:
    serves = OWN + "    def on_load(self, ctx): os._exit(5)\n"
    report = kept(orders.order(FINE, current=(serves,)), surroundings)
    assert report.refusal is None
    assert report.skipped == (
        "what serves cannot be loaded in a preflight: it ended its process with status 5 in plugin geo on_load"
    )
    assert report.barred == "plugin geo"


def test_what_serves_and_hangs_here_accuses_nobody_and_takes_half_of_the_time(orders: Orders) -> None:
    serves = OWN + "    async def on_load(self, ctx):\n        while True: pass\n"
    report = kept(orders.order(FINE, current=(serves,), deadline=2.0))
    assert report.refusal is None
    assert report.skipped.startswith("what serves cannot be loaded in a preflight: not done within 1 s in plugin geo")
    assert report.barred == "plugin geo"


def test_a_candidate_that_hangs_has_all_the_time(orders: Orders) -> None:
    refusal = kept(orders.order(HOSTILE["endless loop on the loop"].code, deadline=2.0)).refusal
    assert refusal is not None
    assert refusal.summary == "not done within 2 s in plugin geo on_reload"


def test_a_candidate_is_rehearsed_without_what_serves_and_crashes_here(orders: Orders) -> None:
    crashes = orders.plugin(OWN + "    def on_load(self, ctx): os._exit(5)\n")
    geo = UnitRef(UnitKind.PLUGIN, "geo")
    shop = orders.plugin(OWN + "    def on_load(self, ctx): print('loaded')\n", id="shop")
    order = orders.order(crashes, shop, current=(crashes,))
    report = kept(msgspec.structs.replace(order, left_out=(geo,)))
    assert (report.refusal, report.skipped, report.output) == (None, "", "loaded\n")
    bad = orders.plugin(OWN + "    def on_load(self, ctx): os._exit(6)\n")
    refused = kept(msgspec.structs.replace(orders.order(bad, current=(crashes,)), left_out=(geo,))).refusal
    assert refused is not None
    assert refused.summary == "it ended its process with status 6 in plugin geo on_load"


def test_a_candidate_that_says_it_is_what_serves_is_refused_where_nothing_of_that_is_loaded(orders: Orders) -> None:
    lies = on_reload(
        "from changeover.workers.preflight.page import Page, Part, Standing",
        "for each in gc.get_objects():",
        "    if type(each) is Page: each.write(Standing(Part.CURRENT))",
        "os._exit(0)",
    ).replace("on_reload(self, ctx, old)", "on_load(self, ctx)")
    order = msgspec.structs.replace(orders.order(lies), left_out=(UnitRef(UnitKind.PLUGIN, "geo"),))
    report = kept(order)
    assert report.skipped == ""
    assert report.refusal is not None


def test_what_it_lacks_is_not_what_its_code_writes_on_the_page(orders: Orders) -> None:
    code = on_reload(
        "from changeover.workers.preflight.page import Page, Standing",
        "fake = Standing(missing=('\\x1b[2J', 'limits (' + 'x' * 999 + ')'))",
        "for each in gc.get_objects():",
        "    if type(each) is Page: each.write(fake)",
        "Page.write = lambda self, standing: None",
    )
    report = kept(orders.order(code))
    assert report.refusal is None
    told = [line for line in report.missing if "x" * 9 in line or "2J" in line]
    assert told == ["limits (" + "x" * (REASON - 8)]


def test_a_temporary_folder_is_emptied_whatever_its_rights_and_what_stays_is_told(
    surroundings: Callable[[], None], orders: Orders
) -> None:
    locked = (
        "import tempfile",
        "print(path := tempfile.gettempdir())",
        "os.makedirs(f'{path}/a/b')",
        "os.symlink('/etc', f'{path}/a/etc')",
        "for each in ('a/b', 'a'): os.chmod(f'{path}/{each}', 0)",
    )
    report = kept(orders.order(on_reload(*locked)), surroundings)
    assert (report.refusal, report.warnings) == (None, ())
    assert not os.path.exists(report.output.strip())


def test_a_temporary_folder_that_stays_is_told_and_is_there(orders: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    own = orders.folder / "temporary"
    own.mkdir()
    own.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(own))  # in that of all, the next keeper that ends removes it
    monkeypatch.setattr(temporary, "CLEANING", 0.0)
    code = on_reload("import tempfile", "print(path := tempfile.gettempdir())", "open(f'{path}/x', 'w').close()")
    report = kept(orders.order(code))
    folder = report.output.strip()
    assert report.warnings == (f"left: its temporary folder {folder}, which was not removed within 0 s",)
    assert os.path.exists(f"{folder}/x")
    shutil.rmtree(folder)
