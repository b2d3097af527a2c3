"""A real zygote forks keepers, which have hostile plugins rehearsed: each is a refusal, and nothing of it is left."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from changeover.supervisor.process.zygote_process import HeldZygote, ZygotePlan, start_zygote
from changeover.workers.link.packets import Packet, receive_packet, send_packet
from changeover.workers.preflight.offspring import children_of
from changeover.workers.protocol import forking
from changeover.workers.protocol.belongings import Belongings, Listener
from changeover.workers.protocol.forking import FromZygote, Preload, ZygoteOrder
from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.rehearsal import MAX_REPORT, RehearsalOrder, RehearsalReport, decode_report, encode
from tests.namespaces import open_folder
from tests.rehearsing import FINE, HEAD, OWN, Orders, running
from tests.waits import until

ROOT = Path(__file__).parents[2]
R = TypeVar("R", bound=FromZygote)
SLEEPER = ("sleep", f"86431.{os.getpid()}")
"""Nobody else runs that, not even another process of the same tests."""
NOTHING = Belongings()


class Ours:
    """A zygote, and the line to it."""

    def __init__(self, held: HeldZygote) -> None:
        self.held = held
        self.reports: list[tuple[forking.ZygoteReport, Packet]] = []
        self._numbers = iter(range(1, 1000))

    def say(self, order: ZygoteOrder, fds: tuple[int, ...] = ()) -> None:
        send_packet(self.held.sock, forking.encode(order), fds)

    def say_rehearse(self, number: int, order: bytes) -> None:
        with open(os.memfd_create("order"), "w+b") as file:
            file.write(order)
            file.flush()
            self.say(forking.Rehearse(number), (file.fileno(),))

    async def hear(self, kind: type[R]) -> tuple[R, tuple[int, ...]]:
        """The next report, which has to be of this kind."""

        def arrived() -> Packet | None:
            try:
                return receive_packet(self.held.sock, forking.MAX_PACKET, 4)
            except BlockingIOError:
                return None

        packets: list[Packet] = []

        def one() -> bool:
            if (packet := arrived()) is not None:
                packets.append(packet)
            return bool(packets)

        await until(one, f"a {kind.__name__}")
        report = forking.decode_report(packets[0].data)
        assert isinstance(report, kind), report
        return report, packets[0].fds

    async def begin(self, order: RehearsalOrder) -> "Awaited":
        """Have something rehearsed."""
        number = next(self._numbers)
        self.say_rehearse(number, encode(order))
        rehearsing, (pidfd, answer) = await self.hear(forking.Rehearsing)
        assert rehearsing.number == number
        return Awaited(number, rehearsing.pid, pidfd, socket.socket(fileno=answer))

    async def rehearse(self, order: RehearsalOrder) -> RehearsalReport:
        """Have something rehearsed, to its end."""
        awaited = await self.begin(order)
        try:
            return await awaited.report()
        finally:
            await awaited.gone()
            awaited.close()

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.held.pid}/fd"))

    def children(self) -> str:
        return Path(f"/proc/{self.held.pid}/task/{self.held.pid}/children").read_text()


class Awaited:
    """A rehearsal that goes on."""

    def __init__(self, number: int, pid: int, pidfd: int, answer: socket.socket) -> None:
        self.number = number
        self.pid = pid
        self.pidfd = pidfd
        self.answer = answer

    async def report(self) -> RehearsalReport:
        """Read to the end of it."""
        self.answer.setblocking(False)
        data = b""
        async with asyncio.timeout(20):
            while piece := await asyncio.get_running_loop().sock_recv(self.answer, 65536):
                data += piece
                assert len(data) <= MAX_REPORT
        return decode_report(data)

    async def gone(self) -> None:
        await until(lambda: not Path(f"/proc/{self.pid}").exists(), "the keeper to be gone and reaped")

    def close(self) -> None:
        self.answer.close()
        os.close(self.pidfd)


@contextlib.asynccontextmanager
async def begun(
    folder: Path, preload: Preload | None = None, belongings: Belongings = NOTHING
) -> AsyncIterator[tuple[Ours, forking.Ready]]:
    """A zygote that is ready, and that leaves in the end with nothing left below it."""
    plan = ZygotePlan(
        cohort=1,
        name="shop",
        python=sys.executable,
        directory=str(folder),
        environment=dict(os.environ),
        belongings=belongings,
        path=(str(ROOT), str(folder)),
        preload=preload,
    )
    held = start_zygote(plan, folder / "zygote-1.sock")
    ours = Ours(held)
    try:
        ours.say(plan.setup())
        ready, _ = await ours.hear(forking.Ready)
        assert ready.rehearses
        yield ours, ready
        assert ours.children() == ""
        with contextlib.suppress(BrokenPipeError):  # it may have been told before
            ours.say(forking.Leave())
        await until(lambda: held.reap() == 0, "the zygote to leave")
    finally:
        if held.reap() is None:
            signal.pidfd_send_signal(held.pidfd, signal.SIGKILL)
            await until(lambda: held.reap() is not None, "it to be gone")
        held.path.unlink()
        held.sock.close()
        os.close(held.pidfd)
        held.stacks.close()


@pytest.fixture
async def zygote(orders: Orders) -> AsyncIterator[Ours]:
    """A zygote that preloaded nothing."""
    async with begun(orders.folder) as (ours, _):
        yield ours


@pytest.fixture
def orders() -> Iterator[Orders]:
    with open_folder() as folder:
        yield Orders(folder)


def on_reload(*lines: str) -> str:
    return OWN + "    def on_reload(self, ctx, old):\n" + "".join(f"        {line}\n" for line in lines)


HOSTILE: dict[str, tuple[str, Fault, str]] = {
    "import error": ("import no_such_module\n" + FINE, Fault.CONTRACT, "ModuleNotFoundError"),
    "sys.exit": ("import sys\nsys.exit(3)\n" + FINE, Fault.CRASH, "SystemExit: 3"),
    "os._exit": (on_reload("os._exit(3)"), Fault.CRASH, "it ended its process with status 3 in plugin geo on_reload"),
    "SIGSEGV": (
        on_reload("ctypes.string_at(0)"),
        Fault.CRASH,
        "its process was ended by SIGSEGV in plugin geo on_reload",
    ),
    "endless loop": (on_reload("while True: pass"), Fault.TIMEOUT, "not done within 1.5 s"),
    "endless loop on the loop": (
        OWN + "    async def on_reload(self, ctx, old):\n        while True: pass\n",
        Fault.TIMEOUT,
        "not done within 4 s in plugin geo on_reload",
    ),
    "fork bomb": (on_reload("while True: os.fork()"), Fault.RESOURCE, "BlockingIOError"),
    "10 GB": (on_reload("bytearray(10 << 30)"), Fault.RESOURCE, "MemoryError"),
    "hook that hangs": (
        OWN + "    async def on_reload(self, ctx, old): await asyncio.Event().wait()\n",
        Fault.TIMEOUT,
        "not done within 1.5 s",
    ),
    "stdout flooding": (on_reload("while True: print('x' * 10_000)"), Fault.TIMEOUT, "not done within 1.5 s"),
}


async def test_a_good_candidate_passes(zygote: Ours, orders: Orders) -> None:
    report = await zygote.rehearse(orders.order(on_reload("print('hello')")))
    assert report.refusal is None, report.refusal
    assert (report.modules, report.output, report.warnings) == (1, "hello\n", ())


async def test_every_hostile_one_is_a_refusal_and_nothing_leaks_into_the_zygote(zygote: Ours, orders: Orders) -> None:
    await zygote.rehearse(orders.order(FINE))
    before = zygote.descriptors()
    for name, (code, fault, summary) in HOSTILE.items():
        code = code.replace(
            "on_reload(self, ctx, old):\n", f"on_reload(self, ctx, old):\n        subprocess.Popen({SLEEPER})\n"
        )
        report = await zygote.rehearse(orders.order(code, hook=1.5, deadline=4.0))
        refusal = report.refusal
        assert refusal is not None, name
        assert (refusal.unit, refusal.fault) == ("plugin geo", fault), (name, refusal)
        assert refusal.summary.startswith(summary), name
        assert running(*SLEEPER) == [], name
    assert (zygote.descriptors(), zygote.children()) == (before, "")
    report = await zygote.rehearse(orders.order(FINE))
    assert report.refusal is None


async def test_rehearsals_go_on_side_by_side(zygote: Ours, orders: Orders) -> None:
    slow = await zygote.begin(orders.order(on_reload("time.sleep(0.5)")))
    fast = await zygote.rehearse(orders.order(on_reload("raise ValueError")))
    assert fast.refusal is not None
    assert (await slow.report()).refusal is None
    await slow.gone()
    slow.close()


@pytest.mark.parametrize("how", ["told", "closed", "lost", "leaving"])
async def test_a_rehearsal_that_nobody_waits_for_ends_with_all_below_it(how: str, zygote: Ours, orders: Orders) -> None:
    awaited = await zygote.begin(orders.order(on_reload(f"subprocess.run({SLEEPER})")))
    await until(lambda: running(*SLEEPER), "it to begin")
    if how == "told":
        zygote.say(forking.EndRehearsal(awaited.number))
        zygote.say(forking.EndRehearsal(99))
    elif how == "closed":
        awaited.answer.close()
    elif how == "leaving":
        zygote.say(forking.Leave())
    else:
        os.kill(awaited.pid, signal.SIGKILL)
    await until(lambda: not running(*SLEEPER), "all below it to end")
    await awaited.gone()
    awaited.close()


async def test_it_holds_no_address_of_the_service(orders: Orders) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with begun(orders.folder, belongings=Belongings((Listener("", listening.fileno()),))) as (ours, _):
            awaited = await ours.begin(orders.order(on_reload(f"subprocess.run({SLEEPER}, close_fds=False)")))
            await until(lambda: running(*SLEEPER), "it to begin")
            below = [*processes_below(awaited.pid)]
            assert len(below) == 3
            ours_alone = f"socket:[{os.fstat(listening.fileno()).st_ino}]"
            held = [pid for pid in (awaited.pid, *below) if ours_alone in links_of(pid)]
            assert held == []
            awaited.close()
            await awaited.gone()


def processes_below(pid: int) -> Iterator[int]:
    for child in children_of(pid):
        yield child
        yield from processes_below(child)


def links_of(pid: int) -> set[str]:
    """What it holds; what it closes meanwhile it may or may not hold."""
    links = set[str]()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.add(os.readlink(each))
    return links


async def test_preloaded_code_is_there_and_a_cohort_with_threads_imports_in_the_rehearsal(orders: Orders) -> None:
    (orders.folder / "pool.py").write_text(
        "import threading, time\nLINE = threading.Thread(target=time.sleep, args=(99,))\n"
    )
    (orders.folder / "shop.py").write_text("import pool\nasync def app(scope, receive, send): ...\n")
    code = HEAD + "print('pool' in sys.modules)\nimport pool\n" + FINE
    for starts, there in (("", "True\n"), ("LINE.daemon = True\nLINE.start()\n", "False\n")):
        with (orders.folder / "pool.py").open("a") as file:
            file.write(starts)
        preload = Preload("shop:app", str(orders.folder))
        async with begun(orders.folder, preload) as (ours, ready):
            assert ready.threads == (("pool",) if starts else ())
            report = await ours.rehearse(orders.order(code))
            assert report.refusal is None, report.refusal
            assert report.output == there


async def test_an_order_that_did_not_arrive_is_not_rehearsed(zygote: Ours) -> None:
    zygote.say(forking.Rehearse(1))
    failed, _ = await zygote.hear(forking.RehearsalFailed)
    assert (failed.number, failed.errno) == (1, 0)
    assert "its order did not arrive" in failed.reason


async def test_an_order_that_is_none_ends_its_keeper_and_nothing_else(zygote: Ours, orders: Orders) -> None:
    zygote.say_rehearse(1, b"nonsense")
    _, (pidfd, answer) = await zygote.hear(forking.Rehearsing)
    with socket.socket(fileno=answer) as ended:
        ended.settimeout(10)
        assert await asyncio.to_thread(ended.recv, 1) == b""
    os.close(pidfd)
    assert (await zygote.rehearse(orders.order(FINE))).refusal is None
