"""A zygote and its workers, as the supervisor sees them."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from changeover.supervisor.core.events import (
    Child,
    Event,
    ForkFailed,
    StacksDumped,
    WorkerExited,
    WorkerForked,
    ZygoteLost,
    ZygoteReady,
)
from changeover.supervisor.process.held_worker import HeldWorker
from changeover.supervisor.process.holders import age_of
from changeover.supervisor.process.packet_channel import PacketChannel
from changeover.supervisor.process.rehearsals import OnEnd, Rehearsals
from changeover.supervisor.process.stacks import NoStacks, StacksFile, ask_stacks
from changeover.supervisor.process.zygote_process import HeldZygote, ZygotePlan, start_zygote
from changeover.workers.link.packets import Packet
from changeover.workers.protocol import forking, last_words
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.forking import ZygoteReport
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.rehearsal import RehearsalOrder
from changeover.workers.runtime.settings import Birth

Tell = Callable[[Event], None]
"""Takes what happened, on the loop; must not block or raise."""

ASK_AGAIN = 0.1
"""Seconds until descriptors that did not arrive are asked for again."""
MOST_ASKED = 10
"""Times they are asked for, until the worker is given up."""
FORKED = 8.0
"""Seconds that a zygote has for a fork; one that is stuck longer is killed, so that the next cohort's takes over."""
ADOPTED = 5.0
"""Seconds that a zygote has to hand the descriptors of its workers to the supervisor that adopts it."""
LAST_WORDS = 2.0
"""Seconds that a zygote may live on after its socket ended, or write its stacks in, before it is killed."""


class Zygote:
    """A zygote, started or adopted: fork workers, hold them, hear of their ends.

    Attributes:
        cohort: Its number.
        pid: For people.
        malformed: Packets from it that meant nothing.
        threads: Modules that started threads when preloaded: its workers import after the fork. Known when it is ready.
        rehearses: Whether it can have a candidate rehearsed. Known when it is ready.
        status: Exit status or minus a signal's number, once it is lost and where that is known.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, handles: HeldZygote, tell: Tell) -> None:
        self.cohort = handles.cohort
        self.pid = handles.pid
        self._path = handles.path
        self.malformed = 0
        self.threads: tuple[str, ...] = ()
        self.rehearses = False
        self.status: int | None = None
        self._loop = loop
        self._reap = handles.reap
        self._pidfd = handles.pidfd
        self._stacks = handles.stacks
        self._tell = tell
        self._held: dict[WorkerId, HeldWorker] = {}
        self._asked: dict[WorkerId, int] = {}
        self._unheard: set[WorkerId] = set()
        self._adopted: list[Child] = []
        self._rehearsals = Rehearsals(loop, self._send)
        self._preloads = ""
        self._ready = False
        self._gone = False
        self._lost = ""
        self._refusal: Refusal | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None
        self._channel = PacketChannel(
            loop, handles.sock, forking.MAX_PACKET, forking.FORKED_DESCRIPTORS, self._take, self._ended
        )
        loop.add_reader(self._pidfd, self._died)

    @classmethod
    def start(cls, plan: ZygotePlan, path: Path, tell: Tell) -> Self:
        """Execute a zygote. Called on the loop.

        Args:
            plan: What it is to be.
            path: Where its socket is made.
            tell: Takes every fact about it and its workers, on the loop.

        Raises:
            ZygoteNotStarted: The system refuses.
        """
        loop = asyncio.get_running_loop()
        zygote = cls(loop, start_zygote(plan, path), tell)
        if plan.preload is not None:
            zygote._preloads = f"application {plan.preload.target}"
        reason = f"not ready within {plan.ready:g} s (deadlines.preload)"
        zygote._deadline = loop.call_later(plan.ready, zygote._end_preload, reason)
        zygote._send(plan.setup())
        return zygote

    @classmethod
    def adopt(cls, handles: HeldZygote, ready: forking.Ready, tell: Tell) -> Self:
        """Take over a former supervisor's, which has introduced itself. Called on the loop.

        `ZygoteReady` follows once every worker of its is held or known to be dead.

        Args:
            handles: Owned from here on.
            ready: What it said of itself.
            tell: Takes every fact about it and its workers, on the loop.
        """
        zygote = cls(asyncio.get_running_loop(), handles, tell)
        zygote._ready, zygote.threads, zygote.rehearses = True, ready.threads, ready.rehearses
        zygote._unheard.update(ready.children)
        reason = f"it did not hand over its workers within {ADOPTED:g} s"
        zygote._deadline = zygote._loop.call_later(ADOPTED, zygote.kill, reason)
        if not ready.children:
            zygote._loop.call_soon(zygote._settle)
        return zygote

    @property
    def workers(self) -> tuple[WorkerId, ...]:
        """The workers that are held: not known to be dead."""
        return tuple(self._held)

    @property
    def link(self) -> tuple[str, int]:
        """Name of its socket, and descriptor of the connection to it; -1 when there is none."""
        return self._path.name, self._channel.descriptor

    def knows(self, worker: WorkerId) -> bool:
        """Whether `worker` is held, or will be as soon as this zygote has handed it over."""
        return worker in self._held or worker in self._unheard

    def fork(self, birth: Birth) -> None:
        """Ask for a worker; answered by `WorkerForked` or `ForkFailed`, exactly once."""
        if self._gone:
            self._loop.call_soon(self._tell, ForkFailed(birth.worker, "its zygote is dead"))
            return
        self._asked[birth.worker] = 0
        self._loop.call_later(FORKED, self._expect_forked, birth.worker)
        self._send(forking.Fork(birth.worker, msgspec.msgpack.encode(birth), birth.rolled))

    def rehearse(self, number: int, order: RehearsalOrder, on_end: OnEnd) -> None:
        """Have a candidate rehearsed below it; the arguments are those of `Rehearsals.begin`.

        Raises:
            OSError: The order cannot be written down.
        """
        if self._gone:
            self._loop.call_soon(on_end, b"", "its zygote is dead")
            return
        self._rehearsals.begin(number, order, on_end)

    def end_rehearsal(self, number: int) -> None:
        """Have a rehearsal ended; nothing happens when it has."""
        self._rehearsals.give_up(number)

    def signal(self, worker: WorkerId, signum: int) -> bool:
        """Send a signal to a worker; False when it is dead, or none of this cohort."""
        held = self._held.get(worker)
        return held is not None and held.signal(signum)

    async def stacks(self, worker: WorkerId, deadline: float = 2.0) -> str:
        """The stacks of all threads of a worker, now.

        Raises:
            NoStacks: It cannot write them.
        """
        held = self._held.get(worker)
        if held is None:
            raise NoStacks("it is gone")
        return await held.stacks(deadline)

    def stop(self, within: float = 5.0) -> None:
        """Fork no more and leave after the last worker; `ZygoteLost` follows.

        One that is not ready writes down where it is, and is killed.

        Args:
            within: Seconds until it is killed; its workers are not.
        """
        self._lost = "it was told to leave"
        if not self._ready:
            return self._end_preload(f"{self._lost} before it was ready")
        self._send(forking.Leave())
        self._cancel_deadline()
        self._deadline = self._loop.call_later(within, self.kill, f"it did not leave within {within:g} s")

    def kill(self, reason: str) -> None:
        """Kill the zygote, not its workers; `ZygoteLost` follows with this reason."""
        if self._gone:
            return
        self._lost = reason
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return

    def close(self) -> None:
        """Let go of the zygote and its workers; no process is touched and no fact follows."""
        self._cancel_deadline()
        self._channel.close()
        self._let_go()
        self._rehearsals.close()
        for held in self._held.values():
            held.close()
        self._held.clear()

    def _send(self, order: forking.ZygoteOrder, fds: tuple[int, ...] = ()) -> None:
        self._channel.send(forking.encode(order), fds)

    def _take(self, packet: Packet) -> None:
        try:
            report = forking.decode_report(packet.data)
        except MalformedFrame:
            self.malformed += 1
            packet.close_fds()
            return
        if isinstance(report, forking.Forked):
            self._forked(report, packet)
        elif isinstance(report, forking.Rehearsing):
            self._rehearsals.begun(report, packet)
        else:
            packet.close_fds()
            self._handle(report)

    def _handle(self, report: ZygoteReport) -> None:
        match report:
            case forking.Ready(threads=threads, rehearses=rehearses):
                self._cancel_deadline()
                self.threads, self.rehearses = threads, rehearses
                self._ready = True
                self._tell(ZygoteReady(self.cohort, threads=threads))
            case forking.PreloadFailed(refusal=refusal):
                self._refusal = refusal
                self._lost = f"{refusal.unit} cannot be imported: {refusal.summary}"
                self._cancel_deadline()
                self._deadline = self._loop.call_later(LAST_WORDS, self.kill, self._lost)
            case forking.RehearsalFailed():
                self._rehearsals.failed(report)
            case forking.ForkFailed(worker=worker, reason=reason):
                self._not_forked(worker, reason)
            case forking.Exited(worker=worker, status=status):
                self._exited(worker, status)

    def _forked(self, report: forking.Forked, packet: Packet) -> None:
        worker = report.worker
        if worker not in self._asked and worker not in self._unheard:
            packet.close_fds()
        elif len(packet.fds) < forking.FORKED_DESCRIPTORS:
            packet.close_fds()
            self._ask_again(worker)
        else:
            self._hold(report, *packet.fds)

    def _hold(self, report: forking.Forked, pidfd: int, stacks: int) -> None:
        worker, pid = report.worker, report.pid
        self._held[worker] = HeldWorker(self._loop, worker, pid, pidfd, StacksFile(stacks), self._worker_died)
        self._send(forking.Held(worker))
        self._asked.pop(worker, None)
        if worker in self._unheard:
            self._adopted.append(Child(worker, pid, report.rolled, age_of(pid)))
            self._heard_of(worker)
        else:
            self._tell(WorkerForked(worker, pid))

    def _heard_of(self, worker: WorkerId) -> None:
        self._unheard.discard(worker)
        self._settle()

    def _settle(self) -> None:
        """Tell that an adopted zygote takes orders, once it is known who of its workers lives."""
        if not self._unheard and not self._lost:
            self._cancel_deadline()
            self._tell(ZygoteReady(self.cohort, tuple(self._adopted)))

    def _expect_forked(self, worker: WorkerId) -> None:
        if worker in self._asked:
            self.kill(f"it did not fork {worker} within {FORKED:g} s")

    def _ask_again(self, worker: WorkerId) -> None:
        self._asked[worker] = self._asked.get(worker, 0) + 1
        order = forking.AskForked(worker) if self._asked[worker] <= MOST_ASKED else forking.End(worker)
        self._loop.call_later(ASK_AGAIN, self._send, order)

    def _exited(self, worker: WorkerId, status: int) -> None:
        self._send(forking.ExitedSeen(worker))
        if worker in self._held:
            self._held[worker].tell_status(status)
        elif worker in self._unheard:
            self._heard_of(worker)
        else:
            self._not_forked(worker, f"it ended with status {status} before it began: no descriptor was free for it")

    def _not_forked(self, worker: WorkerId, reason: str) -> None:
        if self._asked.pop(worker, None) is not None:
            self._tell(ForkFailed(worker, reason))

    def _worker_died(self, held: HeldWorker) -> None:
        del self._held[held.worker]
        words = held.last_words()
        held.close()
        if words:
            said = last_words.read(words)
            self._tell(StacksDumped(held.worker, words if said is None else said.traceback, said))
        self._tell(WorkerExited(held.worker, held.status))

    def _ended(self) -> None:
        self._deadline = self._deadline or self._loop.call_later(LAST_WORDS, self.kill, "its socket ended")

    def _end_preload(self, summary: str) -> None:
        self._cancel_deadline()
        if self._ending is None:
            self._ending = self._loop.create_task(self._write_down_and_kill(summary))

    async def _write_down_and_kill(self, summary: str) -> None:
        try:
            stacks = await ask_stacks(self._pidfd, self._stacks, LAST_WORDS)
        except NoStacks as error:
            stacks, summary = "", f"{summary}; no stacks: {error.reason}"
        self._refusal = self._refusal or Refusal(Stage.LOAD, Fault.TIMEOUT, summary, self._preloads, traceback=stacks)
        self.kill(summary)

    def _died(self) -> None:
        self._channel.drain()
        self._channel.close()
        self._cancel_deadline()
        self.status = self._reap()
        if not self._ready and not self._lost:
            self._refusal = self._death_in_preload()
        self._let_go()
        self._path.unlink(missing_ok=True)
        for worker in tuple(self._asked):
            self._not_forked(worker, "its zygote died")
        for held in tuple(self._held.values()):
            held.expect_no_status()
        self._tell(ZygoteLost(self.cohort, self._lost or f"it ended with status {self.status}", self._refusal))
        self._rehearsals.lose("its zygote died")  # last: whoever heard of the death has the next zygote rehearse

    def _death_in_preload(self) -> Refusal:
        """What is known of a death that nobody ordered: the stack of a fatal fault, where there was one."""
        summary = f"ended with status {self.status} while it was preloaded"
        # Whom the kernel kills for want of memory may be loaded another time.
        fault = Fault.RESOURCE if self.status == -signal.SIGKILL else Fault.CRASH
        return Refusal(Stage.PREPARE, fault, summary, self._preloads, traceback=self._stacks.read())

    def _let_go(self) -> None:
        if not self._gone:
            self._gone = True
            if self._ending is not None:
                self._ending.cancel()
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._stacks.close()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
