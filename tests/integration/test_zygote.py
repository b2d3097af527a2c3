"""A real zygote, executed, and the workers that it forks: held by their pidfds, and never lost."""

import asyncio
import errno
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from changeover.supervisor.core.events import (
    Event,
    ForkFailed,
    StacksDumped,
    WorkerExited,
    WorkerForked,
    ZygoteLost,
    ZygoteReady,
)
from changeover.supervisor.process import zygote as zygotes
from changeover.supervisor.process.holders import holder_of_pid
from changeover.supervisor.process.stacks import NoStacks
from changeover.supervisor.process.zygote import Zygote
from changeover.supervisor.process.zygote_process import ZygoteNotStarted, ZygotePlan, start_zygote
from changeover.workers.protocol import forking
from changeover.workers.protocol.belongings import Belongings, Listener
from changeover.workers.protocol.forking import Preload
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.protocol.rehearsal import Confinement, RehearsalOrder
from changeover.workers.protocol.snapshot import EMPTY
from changeover.workers.runtime.settings import Birth, WorkerSettings
from tests.newborns import SCRATCH, Note, note_of
from tests.waits import until

ROOT = Path(__file__).parents[2]
E = TypeVar("E", bound=Event)


class Supervisor:
    """Holds zygotes, and remembers what it was told."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.told: list[Event] = []
        self.zygotes: list[Zygote] = []

    def plan(self, **changes: Any) -> ZygotePlan:
        plan = ZygotePlan(
            cohort=1,
            name="shop",
            python=sys.executable,
            directory=str(self.scratch),
            environment={**os.environ, SCRATCH: str(self.scratch)},
            belongings=Belongings(),
            path=(str(ROOT),),
            ready=30.0,
            entry="tests.newborns:serve",
        )
        return msgspec.structs.replace(plan, **changes)

    def start(self, **changes: Any) -> Zygote:
        plan = self.plan(**changes)
        zygote = Zygote.start(plan, self.scratch / f"zygote-{plan.cohort}.sock", self.told.append)
        self.zygotes.append(zygote)
        return zygote

    async def started(self, **changes: Any) -> Zygote:
        zygote = self.start(**changes)
        await self.hear(ZygoteReady)
        return zygote

    def birth(self, incarnation: int, slots: int = 2) -> Birth:
        settings = WorkerSettings("shop", str(self.scratch), str(self.scratch), slots)
        return Birth(WorkerId(1, incarnation % slots, incarnation), f"nonce-{incarnation}", "journal", 1, settings)

    async def forked(self, zygote: Zygote, incarnation: int, slots: int = 2) -> Note:
        zygote.fork(self.birth(incarnation, slots))
        return await self.note(incarnation)

    async def note(self, incarnation: int) -> Note:
        path = note_of(self.scratch, incarnation)
        await until(path.exists, f"note of {incarnation}; told {self.told}")
        return msgspec.json.decode(path.read_bytes(), type=Note)

    async def hear(self, kind: type[E], count: int = 1) -> E:
        await until(lambda: len(self.heard(kind)) >= count, f"{count} {kind.__name__}; told {self.told}")
        return self.heard(kind)[count - 1]

    async def answered(self, forks: int) -> None:
        await until(lambda: len(self.heard(ForkFailed)) + len(self.heard(WorkerForked)) == forks)

    async def ended(self, zygote: Zygote) -> None:
        await until(lambda: zygote.status is not None and not zygote.workers, "zygote and workers end")

    def heard(self, kind: type[E]) -> list[E]:
        return [event for event in self.told if isinstance(event, kind)]

    @asynccontextmanager
    async def again(self, zygote: Zygote) -> "AsyncIterator[Again]":
        """Leave a zygote to a supervisor that did not start it."""
        zygote._channel.close()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
            channel.connect(str(self.scratch / f"zygote-{zygote.cohort}.sock"))
            channel.settimeout(10)
            yield Again(channel)


class Again:
    """A supervisor that has connected to a zygote which another one started."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    async def hear(self, expected: forking.ZygoteReport) -> list[int]:
        """See what the zygote tells next; the descriptors that came with it are the caller's."""
        data, fds, _, _ = await asyncio.to_thread(socket.recv_fds, self._channel, 65536, 4)
        assert forking.decode_report(data) == expected
        return fds

    async def hear_only(self, expected: forking.ZygoteReport) -> None:
        """See what the zygote tells next, whatever comes with it."""
        close(await self.hear(expected))

    def say(self, order: forking.ZygoteOrder) -> None:
        self._channel.send(forking.encode(order))


def close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path)
    yield supervisor
    for zygote in supervisor.zygotes:
        for worker in zygote.workers:
            zygote.signal(worker, signal.SIGKILL)
        if not any(isinstance(e, ZygoteLost) and e.cohort == zygote.cohort for e in supervisor.told):
            zygote.kill("test is over")
    for zygote in supervisor.zygotes:
        await supervisor.ended(zygote)
        zygote.close()


def worker(incarnation: int, slots: int = 2) -> WorkerId:
    return WorkerId(1, incarnation % slots, incarnation)


def pid_of(pidfd: int) -> int:
    lines = dict(line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines())
    return int(lines["Pid"])


def gone(pid: int) -> bool:
    return holder_of_pid(pid) is None


async def test_a_worker_is_forked_lives_in_its_own_session_and_its_status_is_told(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    note = await supervisor.forked(zygote, 1, slots=5)
    told = await supervisor.hear(WorkerForked)
    assert told == WorkerForked(worker(1, 5), note.pid)
    assert (note.session, note.nonce, note.slots, note.threads) == (note.pid, "nonce-1", 5, 1)
    assert note.frozen > 1000
    assert note.ignores_hangup
    assert zygote.signal(worker(1, 5), signal.SIGTERM)
    assert await supervisor.hear(WorkerExited) == WorkerExited(worker(1, 5), 7)
    assert not zygote.signal(worker(1, 5), signal.SIGTERM)


async def test_a_worker_holds_no_descriptor_of_its_zygote_or_its_siblings(supervisor: Supervisor) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening:
        zygote = await supervisor.started(belongings=Belongings((Listener("", listening.fileno()),)))
        first = await supervisor.forked(zygote, 1)
        second = await supervisor.forked(zygote, 2)
        third = await supervisor.forked(zygote, 3)
        inherited = third.descriptors[listening.fileno()]
        assert inherited == os.readlink(f"/proc/self/fd/{listening.fileno()}")
        assert len(first.descriptors) == len(second.descriptors) == len(third.descriptors)
        sockets = [link for fd, link in third.descriptors.items() if link.startswith("socket:") and fd > 2]
        assert sockets == [inherited]


async def test_a_killed_worker_is_told_with_its_signal_and_the_zygote_goes_on(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    note = await supervisor.forked(zygote, 1)
    os.kill(note.pid, signal.SIGKILL)
    assert (await supervisor.hear(WorkerExited)).status == -signal.SIGKILL
    await supervisor.forked(zygote, 2)


async def test_an_entry_that_raises_ends_with_1(supervisor: Supervisor) -> None:
    zygote = await supervisor.started(entry="tests.newborns:raise_error")
    zygote.fork(supervisor.birth(1))
    assert (await supervisor.hear(WorkerExited)).status == 1


async def test_a_fatal_fault_leaves_its_stack(supervisor: Supervisor) -> None:
    zygote = await supervisor.started(entry="tests.newborns:fault")
    zygote.fork(supervisor.birth(1))
    exited = await supervisor.hear(WorkerExited)
    assert exited.status == -signal.SIGSEGV
    [dumped] = supervisor.heard(StacksDumped)
    assert "Segmentation fault" in dumped.stacks
    assert "in fault" in dumped.stacks


async def test_a_stuck_worker_says_where_it_is(supervisor: Supervisor) -> None:
    zygote = await supervisor.started(entry="tests.newborns:loop_for_ever")
    await supervisor.forked(zygote, 1)
    assert "in loop_for_ever" in await zygote.stacks(worker(1))
    zygote.signal(worker(1), signal.SIGKILL)
    await supervisor.hear(WorkerExited)
    assert not supervisor.heard(StacksDumped)
    with pytest.raises(NoStacks, match="it is gone"):
        await zygote.stacks(worker(1))


async def test_a_stopped_worker_has_no_stacks_and_that_is_why(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    note = await supervisor.forked(zygote, 1)
    os.kill(note.pid, signal.SIGSTOP)
    with pytest.raises(NoStacks, match=r"it is stopped \(SIGSTOP or SIGTSTP\)"):
        await zygote.stacks(worker(1), deadline=0.05)
    zygote.signal(worker(1), signal.SIGKILL)
    assert await supervisor.hear(WorkerExited) == WorkerExited(worker(1), -signal.SIGKILL)


def pends(pid: int, signum: int) -> bool:
    """Whether a process has been sent a signal that it has not taken yet."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("ShdPnd:")]
    return bool(int(line.split()[1], 16) >> signum - 1 & 1)


async def test_a_worker_that_dies_while_its_stacks_are_awaited_has_none(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    note = await supervisor.forked(zygote, 1)
    os.kill(note.pid, signal.SIGSTOP)
    asked = asyncio.create_task(zygote.stacks(worker(1), deadline=1000.0))
    await until(lambda: pends(note.pid, forking.STACKS_SIGNAL), "it to be asked")
    os.kill(note.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        with pytest.raises(NoStacks, match="it is gone"):
            await asked
    assert await supervisor.hear(WorkerExited) == WorkerExited(worker(1), -signal.SIGKILL)


async def test_a_dead_zygote_forks_no_more(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    before = len(os.listdir("/proc/self/fd"))
    zygote.kill("it is told to die")
    assert await supervisor.hear(ZygoteLost) == ZygoteLost(1, "it is told to die")
    zygote.fork(supervisor.birth(1))
    assert (await supervisor.hear(ForkFailed)).worker == worker(1)
    zygote.stop()
    zygote.kill("again")
    assert len(os.listdir("/proc/self/fd")) == before - 3


async def test_workers_outlive_their_zygote_and_their_end_is_still_noticed(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    note = await supervisor.forked(zygote, 1)
    os.kill(zygote.pid, signal.SIGKILL)
    lost = await supervisor.hear(ZygoteLost)
    assert str(-signal.SIGKILL) in lost.reason
    assert not supervisor.heard(WorkerExited)
    assert not gone(note.pid)
    assert not (supervisor.scratch / "zygote-1.sock").exists()
    assert zygote.signal(worker(1), signal.SIGTERM)
    assert await supervisor.hear(WorkerExited) == WorkerExited(worker(1), None)


async def test_a_fork_that_a_dead_zygote_owed_has_failed(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    os.kill(zygote.pid, signal.SIGSTOP)
    zygote.fork(supervisor.birth(1))
    os.kill(zygote.pid, signal.SIGKILL)
    assert (await supervisor.hear(ForkFailed)).worker == worker(1)
    assert isinstance(supervisor.told[-1], ZygoteLost)


async def test_a_death_is_told_before_the_rehearsal_that_the_zygote_owed_so_that_the_next_one_does_it(
    supervisor: Supervisor,
) -> None:
    zygote = await supervisor.started()
    ended: list[tuple[str, list[ZygoteLost]]] = []
    os.kill(zygote.pid, signal.SIGSTOP)
    order = RehearsalOrder(None, EMPTY, Confinement(), str(supervisor.scratch))
    zygote.rehearse(1, order, lambda report, why: ended.append((why, supervisor.heard(ZygoteLost))))
    os.kill(zygote.pid, signal.SIGKILL)
    await until(lambda: ended, "the end of the rehearsal")
    assert ended == [("its zygote died", supervisor.heard(ZygoteLost))]
    assert len(supervisor.heard(ZygoteLost)) == 1


async def test_a_zygote_without_descriptors_refuses_to_fork_and_recovers(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    await supervisor.forked(zygote, 1)
    soft, hard = resource.prlimit(zygote.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{zygote.pid}/fd"))
    for free in range(9):
        resource.prlimit(zygote.pid, resource.RLIMIT_NOFILE, (used + free, hard))
        zygote.fork(supervisor.birth(10 + free))
        await supervisor.answered(2 + free)
    assert "errno 24" in supervisor.heard(ForkFailed)[0].reason
    resource.prlimit(zygote.pid, resource.RLIMIT_NOFILE, (soft, hard))
    await supervisor.forked(zygote, 2)
    for each in zygote.workers:
        zygote.signal(each, signal.SIGTERM)
    await until(lambda: not zygote.workers)
    await until(lambda: len(os.listdir(f"/proc/{zygote.pid}/fd")) < used, "descriptors of failed forks are closed")


async def test_a_worker_whose_pidfd_does_not_arrive_never_begins(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
    try:
        zygote.fork(supervisor.birth(1))
        failed = await supervisor.hear(ForkFailed)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "no descriptor was free" in failed.reason
    assert not note_of(supervisor.scratch, 1).exists()
    assert not supervisor.heard(WorkerForked)
    await supervisor.forked(zygote, 2)


async def test_a_pidfd_that_does_not_arrive_at_once_is_asked_for_again(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    asyncio.get_running_loop().call_later(0.25, resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    await supervisor.forked(zygote, 1)
    assert not supervisor.heard(ForkFailed)


async def test_an_import_error_is_refused_with_its_traceback(supervisor: Supervisor) -> None:
    (supervisor.scratch / "shop.py").write_text("import json\nprices = json.loads('[')\n")
    supervisor.start(preload=Preload("shop:app", str(supervisor.scratch)))
    lost = await supervisor.hear(ZygoteLost)
    assert lost.refusal is not None
    assert (lost.refusal.stage, lost.refusal.where) == (Stage.LOAD, "shop.py:2")
    assert "JSONDecodeError" in lost.refusal.traceback
    assert supervisor.zygotes[0].status == 4


async def test_an_import_that_never_ends_is_refused_with_its_stacks(supervisor: Supervisor) -> None:
    (supervisor.scratch / "shop.py").write_text("while True:\n    pass\n")
    supervisor.start(preload=Preload("shop:app", str(supervisor.scratch)), ready=4.0)
    lost = await supervisor.hear(ZygoteLost)
    assert lost.refusal is not None
    assert lost.refusal.fault is Fault.TIMEOUT
    assert lost.refusal.line == "application shop:app: not ready within 4 s (deadlines.preload)"
    assert 'shop.py", line' in lost.refusal.traceback


async def test_an_import_that_crashes_leaves_its_stack(supervisor: Supervisor) -> None:
    (supervisor.scratch / "shop.py").write_text("import ctypes\nctypes.string_at(0)\n")
    supervisor.start(preload=Preload("shop:app", str(supervisor.scratch)))
    lost = await supervisor.hear(ZygoteLost)
    assert lost.refusal is not None
    assert (lost.refusal.stage, lost.refusal.fault) == (Stage.PREPARE, Fault.CRASH)
    assert lost.refusal.summary == "ended with status -11 while it was preloaded"
    assert 'shop.py", line 2' in lost.refusal.traceback


async def test_preloaded_code_is_there_when_a_worker_begins(supervisor: Supervisor) -> None:
    (supervisor.scratch / "shop.py").write_text("async def app(scope, receive, send): ...\n")
    zygote = await supervisor.started(preload=Preload("shop:app", str(supervisor.scratch)))
    assert "shop" in (await supervisor.forked(zygote, 1)).modules
    assert zygote.threads == ()


async def test_what_an_import_left_for_the_collector_is_collected_before_it_would_be_kept_for_ever(
    supervisor: Supervisor,
) -> None:
    collected = supervisor.scratch / "collected"
    (supervisor.scratch / "shop.py").write_text(
        "import gc, pathlib\n"
        "class Cycle:\n"
        "    def __init__(self): self.me = self\n"
        f"    def __del__(self): pathlib.Path({str(collected)!r}).touch()\n"
        "async def app(scope, receive, send): ...\n"
        "gc.disable()\n"
        "Cycle()\n"
    )
    await supervisor.started(preload=Preload("shop:app", str(supervisor.scratch)))
    assert collected.exists()


async def test_threads_found_after_preloading_are_named_and_the_cohort_imports_after_the_fork(
    supervisor: Supervisor,
) -> None:
    (supervisor.scratch / "pool.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n"
    )
    (supervisor.scratch / "shop.py").write_text("import pool\nasync def app(scope, receive, send): ...\n")
    zygote = await supervisor.started(preload=Preload("shop:app", str(supervisor.scratch)))
    assert zygote.threads == ("pool",)
    note = await supervisor.forked(zygote, 1)
    assert "shop" not in note.modules
    assert note.threads == 1


async def test_a_zygote_leaves_after_its_last_worker_when_it_is_told_to(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    await supervisor.forked(zygote, 1)
    zygote.stop(within=30.0)
    zygote.fork(supervisor.birth(2))
    await supervisor.hear(ForkFailed)
    zygote.signal(worker(1), signal.SIGTERM)
    await supervisor.hear(ZygoteLost)
    assert zygote.status == 0
    assert [type(event) for event in supervisor.told[-2:]] == [WorkerExited, ZygoteLost]


async def test_a_zygote_that_does_not_leave_is_killed(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    await supervisor.forked(zygote, 1)
    zygote.stop(within=0.05)
    assert "did not leave" in (await supervisor.hear(ZygoteLost)).reason


async def test_a_zygote_that_is_not_ready_is_stopped_at_once(supervisor: Supervisor) -> None:
    (supervisor.scratch / "shop.py").write_text("open('begun', 'w')\nwhile True:\n    pass\n")
    zygote = supervisor.start(preload=Preload("shop:app", str(supervisor.scratch)))
    await until((supervisor.scratch / "begun").exists, "it to preload")
    zygote.stop(within=1000.0)
    lost = await supervisor.hear(ZygoteLost)
    assert lost.reason == "it was told to leave before it was ready"
    assert lost.refusal is not None
    assert 'shop.py", line' in lost.refusal.traceback


async def test_a_zygote_that_does_not_answer_an_order_is_killed_so_that_another_takes_over(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    zygote = await supervisor.started()
    await supervisor.forked(zygote, 1)
    monkeypatch.setattr(zygotes, "FORKED", 0.2)
    os.kill(zygote.pid, signal.SIGSTOP)
    zygote.fork(supervisor.birth(2))
    assert "did not fork" in (await supervisor.hear(ZygoteLost)).reason
    assert (await supervisor.hear(ForkFailed)).worker == worker(2)
    assert zygote.workers == (worker(1),)


async def test_a_start_that_fails_half_way_leaves_no_process_and_no_socket(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def no_descriptor(pid: int, flags: int = 0) -> int:
        started.append(pid)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pidfd_open", no_descriptor)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ZygoteNotStarted, match="Too many open files"):
            supervisor.start()
    assert gone(started[0])
    assert len(os.listdir("/proc/self/fd")) == before
    assert list(supervisor.scratch.iterdir()) == []


async def test_a_zygote_whose_supervisor_dies_before_it_says_a_word_leaves(supervisor: Supervisor) -> None:
    path = supervisor.scratch / "zygote-1.sock"
    started = start_zygote(supervisor.plan(), path)
    started.sock.close()
    await until(lambda: started.reap() is not None)
    assert started.reap() == 0
    os.close(started.pidfd)
    started.stacks.close()


async def test_signals_to_the_whole_group_leave_a_zygote_with_a_supervisor_alone(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGWINCH):
        os.kill(zygote.pid, signum)
    await supervisor.forked(zygote, 1)


async def test_nonsense_is_counted_and_otherwise_without_effect(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    zygote._channel.send(b"\xc1 nonsense")
    zygote._channel.send(forking.encode(forking.Held(worker(99))))
    await supervisor.forked(zygote, 1)


async def test_an_interpreter_that_is_not_there_is_named_and_nothing_is_left(supervisor: Supervisor) -> None:
    with pytest.raises(ZygoteNotStarted, match="no-such-python"):
        supervisor.start(python="/no-such-python")
    assert list(supervisor.scratch.iterdir()) == []


async def test_an_orphaned_zygote_takes_a_supervisor_that_reconnects(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    note = await supervisor.forked(zygote, 1)
    async with supervisor.again(zygote) as again:
        found = await again.hear(forking.Ready(1, zygote.pid, (worker(1),), rehearses=True))
        pidfd, _stacks = found
        assert pid_of(pidfd) == zygote.pid
        close(found)
        forked = await again.hear(forking.Forked(worker(1), note.pid))
        await until(lambda: "zygote 1 [1 worker]" in str(holder_of_pid(zygote.pid)))
        signal.pidfd_send_signal(forked[0], signal.SIGTERM)
        close(forked)
        for _ in range(2):
            await again.hear_only(forking.Exited(worker(1), 7))
        again.say(forking.ExitedSeen(worker(1)))
        again.say(forking.Leave())
        await supervisor.hear(ZygoteLost)


async def test_an_orphaned_zygote_leaves_when_its_children_are_gone_and_the_timeout_is_over(
    supervisor: Supervisor,
) -> None:
    zygote = await supervisor.started(orphan=0.2)
    note = await supervisor.forked(zygote, 1)
    zygote._channel.close()
    await until(lambda: "no supervisor" in str(holder_of_pid(zygote.pid)))
    os.kill(note.pid, signal.SIGTERM)
    await supervisor.hear(ZygoteLost)
    assert zygote.status == 0


async def test_an_orphaned_zygote_without_a_timeout_waits_for_a_supervisor_for_ever(supervisor: Supervisor) -> None:
    zygote = await supervisor.started(orphan=0)
    zygote._channel.close()
    await until(lambda: "no supervisor" in str(holder_of_pid(zygote.pid)))
    async with supervisor.again(zygote) as again:
        await again.hear_only(forking.Ready(1, zygote.pid, rehearses=True))
        again.say(forking.Leave())
        await supervisor.hear(ZygoteLost)


async def test_an_orphaned_zygote_that_is_told_to_leave_takes_its_workers_along(supervisor: Supervisor) -> None:
    zygote = await supervisor.started()
    notes = [await supervisor.forked(zygote, incarnation) for incarnation in (1, 2)]
    zygote._channel.close()
    await until(lambda: "no supervisor" in str(holder_of_pid(zygote.pid)))
    os.kill(zygote.pid, signal.SIGTERM)
    await supervisor.hear(ZygoteLost)
    assert zygote.status == 0
    assert all(gone(note.pid) for note in notes)
