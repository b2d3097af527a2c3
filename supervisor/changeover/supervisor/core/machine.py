"""The supervisor's machine: hands every event to the part that it concerns. It decides nothing itself."""

from collections.abc import Callable, Sequence
from typing import Any

from changeover.supervisor.core import boot, entries, events, rescue, unstaffed
from changeover.supervisor.core.effects import Answer, Effect, ProcessSignal, Resolve, Signal
from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.events import Event, Timer, TimerKind
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outcome import Outcome
from changeover.supervisor.core.parts import Parts
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records.staffing import Scaled, ScaleRefused
from changeover.supervisor.core.requests import Wish
from changeover.supervisor.core.view import Overview, overview
from changeover.supervisor.core.zygote import Zygote
from changeover.workers.protocol import messages, plugin_messages
from changeover.workers.protocol.epoch import Fence, Stamp, fence
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import SupervisorMessage
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.table import BugFound

ASKS: dict[events.Question, Callable[[Stamp, int, int], SupervisorMessage]] = {
    events.Question.REGISTRY: messages.AskRegistry,
    events.Question.LEASES: messages.AskLeases,
    events.Question.LEAKS: plugin_messages.AskLeaks,
    events.Question.PIPELINES: messages.AskPipelines,
    events.Question.PLUGINS: plugin_messages.AskPlugins,
}


class Machine:
    """Everything the supervisor decides.

    The same events at the same times give the same effects. The first event is `Booted`.

    Args:
        policy: Deadlines and limits.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._out = Outbox()
        self._parts: Parts | None = None
        self._start: boot.Start | None = None
        self._handlers: dict[type[Event], Callable[[Any], None]] = {}

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Take in what happened at `now` (monotonic seconds), and say what is to be done, in order.

        Raises:
            BugFound: Our own code broke its tables; the process is to be ended, a successor adopts the workers.
        """
        self._out.now = now
        if isinstance(event, events.Booted):
            self._boot(event)
        else:
            self._handle(event)
        return self._out.take()

    def view(self) -> Overview:
        """Picture everything out of one read.

        Raises:
            BugFound: `Booted` was not handled yet.
        """
        parts, start = self._awake("view")
        return overview(parts, start)

    def _awake(self, what: str) -> tuple[Parts, boot.Start]:
        if self._parts is None or self._start is None:
            raise BugFound("machine", "asleep", what)
        return self._parts, self._start

    def _boot(self, event: events.Booted) -> None:
        if self._parts is not None:
            raise BugFound("machine", "awake", "Booted")
        parts = Parts(self._policy, event, self._out, self._resolve)
        self._parts = parts
        self._start = boot.Start(parts, event)
        self._handlers = _Handlers(parts, self._start).table()
        self._start.begin()

    def _handle(self, event: Event) -> None:
        parts, start = self._awake(type(event).__name__)
        self._handlers[type(event)](event)
        start.review()
        parts.upgrade.review()
        parts.rescue.review()
        if parts.shutdown.begun:
            parts.shutdown.review()

    def _resolve(self, wish: Wish, ending: Outcome) -> None:
        parts, start = self._awake("an outcome")
        if wish.ticket == boot.BOOT_TICKET:
            start.wish_ended(ending)
        elif wish.ticket == rescue.RESCUE_TICKET:
            parts.rescue.ended(ending)
        else:
            self._out.put(Resolve(wish.ticket, ending))


class _Handlers:
    """One method per event, each a line or two."""

    __slots__ = ("_out", "_parts", "_policy", "_start")

    def __init__(self, parts: Parts, start: boot.Start) -> None:
        self._parts = parts
        self._start = start
        self._out = parts.out
        self._policy = parts.policy

    def table(self) -> dict[type[Event], Callable[[Any], None]]:
        parts = self._parts
        coordinator = parts.coordinator
        return {
            events.Received: self._received,
            events.TimerFired: self._timer_fired,
            events.Persisted: lambda event: self._written(parts.writing.written(event.ticket)),
            events.PersistFailed: lambda event: self._not_written(parts.writing.failed(event.ticket), event.reason),
            events.Reread: lambda event: coordinator.deciding.reread(event.epoch, event.decision),
            events.RereadFailed: lambda event: coordinator.deciding.unreadable(event.epoch),
            events.Subscribed: self._subscribed,
            events.Bound: self._bound,
            events.BindRefused: self._not_bound,
            events.ZygoteReady: self._zygote_ready,
            events.ZygoteLost: self._zygote_lost,
            events.WorkerForked: lambda event: parts.children.forked(event.worker, event.pid),
            events.ForkFailed: lambda event: self._gone(event.worker, None, event.reason),
            events.WorkerExited: lambda event: self._gone(event.worker, event.status, _death(event.status)),
            events.StacksDumped: self._stacks_dumped,
            events.CutoverRequested: lambda event: coordinator.ask(Wish(event.ticket, event.request, self._out.now)),
            events.Scanned: lambda event: coordinator.scanned(event.epoch, event.result),
            events.PreflightPassed: coordinator.rehearsing.passed,
            events.PreflightSkipped: coordinator.rehearsing.skipped,
            events.PreflightRefused: lambda event: coordinator.rehearsing.refused(event.epoch, event.refusals),
            events.Asked: self._asked,
            events.ScaleRequested: self._scale,
            events.UpgradeRequested: self._upgrade,
            events.ImageRehearsed: lambda event: parts.upgrade.rehearsed(event.version),
            events.ImageRefused: lambda event: parts.upgrade.refused(event.reason),
            events.StopRequested: self._stop,
        }

    # ---- workers ----

    def _received(self, event: events.Received) -> None:
        message = event.message
        verdict = fence(self._parts.ledger.known, message.stamp)
        if not self._start.listening:
            self._out.ignore(message.worker, type(message).__name__, "not open yet")
        elif verdict is Fence.NEWER_TERM:
            self._start.outranked(message.stamp.term)
        elif verdict is not Fence.PASS:
            self._out.ignore(message.worker, type(message).__name__, verdict.value)
        elif isinstance(message, messages.Hello):
            self._parts.reception.hello(message)
        elif self._parts.reception.follows_another(message.worker):
            self._start.outranked(message.stamp.term)
        else:
            self._parts.reception.report(message)

    def _subscribed(self, event: events.Subscribed) -> None:
        if self._start.listening:
            self._parts.reception.subscribed(event.worker)

    def _gone(self, worker: WorkerId, status: int | None, cause: str) -> None:
        self._parts.children.bury(worker)
        slot = self._parts.roster.find(worker)
        if slot is not None and slot.member is not None:
            self._parts.reception.bury(slot, slot.member, slot.state, status, cause)

    def _stacks_dumped(self, event: events.StacksDumped) -> None:
        slot = self._parts.roster.find(event.worker)
        if slot is not None and slot.member is not None:
            slot.member.refusal = event.refusal
            self._parts.children.leaving.stacks(slot, slot.member, event.stacks, event.missing)
            self._parts.coordinator.preparing.stacks(slot.member)

    def _zygote_ready(self, event: events.ZygoteReady) -> None:
        for child in event.children:
            known = self._parts.roster.find(child.worker) is not None
            if not known and not self._parts.children.adopt_late(child):
                self._out.put(Signal(child.worker, ProcessSignal.KILL))
        self._parts.zygotes.ready(event.cohort, event.threads)
        self._parts.coordinator.rehearsing.look()
        self._parts.coordinator.preparing.recount()

    def _bound(self, event: events.Bound) -> None:
        self._parts.coordinator.rehearsing.bound(event.epoch)
        self._parts.coordinator.preparing.bound(event.epoch)

    def _not_bound(self, event: events.BindRefused) -> None:
        self._parts.coordinator.rehearsing.not_bound(event.epoch, event.refusal)
        self._parts.coordinator.preparing.not_bound(event.epoch, event.refusal)

    def _zygote_lost(self, event: events.ZygoteLost) -> None:
        zygote = self._parts.zygotes.of_cohort(event.cohort)
        refuses = zygote is not None and self._refuses_cutover(zygote, event)
        self._parts.zygotes.lost(event.cohort, event.reason, event.refusal, refuses=refuses)
        for member in list(self._parts.roster.members()):
            if member.worker.cohort == event.cohort and not member.pid:
                self._gone(member.worker, None, f"its zygote is gone: {event.reason}")
        if zygote is not None and self._is_missed(zygote):
            self._mourn(zygote, event)

    def _is_missed(self, zygote: Zygote) -> bool:
        return zygote.rolled in self._parts.zygotes.wanted and not self._parts.shutdown.begun

    def _refuses_cutover(self, zygote: Zygote, event: events.ZygoteLost) -> bool:
        """Whether the cutover that runs will say why it is gone, because it is refused for that."""
        final = _spoken(event) or self._parts.ledger.current is not None
        needed = self._is_missed(zygote) and self._parts.coordinator.is_preparing(zygote.rolled)
        return event.refusal is not None and final and needed

    def _mourn(self, zygote: Zygote, event: events.ZygoteLost) -> None:
        # A zygote that could not speak for itself may have been killed: it is tried again before it is given up.
        spoken = _spoken(event)
        tried = spoken or zygote.failing or self._parts.ledger.current is not None
        lost = SlotRefusal(-1, 0, event.refusal or Refusal(Stage.PREPARE, Fault.CRASH, event.reason))
        needed = (self._parts.coordinator.rehearsing.zygote_lost, self._parts.coordinator.preparing.zygote_lost)
        if not any(take(zygote.rolled, lost, tried) for take in needed):
            self._start.zygote_lost(event.reason, spoken)

    # ---- the journal ----

    def _written(self, entry: entries.Entry | None) -> None:
        match entry:
            case None:
                pass
            case entries.TermBegun(term):
                self._start.written(term)
            case entries.EpochRaised(epoch):
                self._parts.reception.raised(epoch)
            case entries.Retired(epoch):
                self._parts.retirement.written(epoch)
            case _:
                self._parts.coordinator.written(entry)

    def _not_written(self, entry: entries.Entry | None, reason: str) -> None:
        match entry:
            case None:
                pass
            case entries.TermBegun(term):
                self._start.not_written(term, reason)
            case entries.EpochRaised():
                self._out.set_timer(Timer(TimerKind.REWRITE), self._policy.deadlines.reread)
            case entries.Retired(epoch):
                self._parts.retirement.not_written(epoch, self._policy.deadlines.reread)
            case _:
                self._parts.coordinator.not_written(entry, reason)

    # ---- people ----

    def _asked(self, event: events.Asked) -> None:
        slot = self._parts.roster.slots.get(event.slot)
        if slot is None or slot.member is None or not slot.member.greeted:
            self._out.put(Answer(event.ticket, None))
            return
        # About whatever is served when it arrives, so it must not be stale when a commit overtakes it.
        stamp = self._parts.ledger.stamp(self._parts.ledger.given)
        self._out.unicast(slot.member.worker, ASKS[event.question](stamp, messages.UNORDERED, event.ticket))

    def _scale(self, event: events.ScaleRequested) -> None:
        if self._parts.shutdown.begun:
            return
        most = self._parts.succession.most(self._parts.coordinator.run)
        if self._parts.coordinator.in_parts:
            self._out.tell(ScaleRefused(event.slots, unstaffed.IN_PARTS))
            return
        if event.slots > max(most, self._start.slots):
            self._out.tell(ScaleRefused(event.slots, unstaffed.scale_refused(event.slots, most)))
            return
        self._out.tell(Scaled(self._start.slots, event.slots))
        self._start.scale(event.slots)
        self._parts.coordinator.preparing.scaled()

    def _upgrade(self, event: events.UpgradeRequested) -> None:
        if self._parts.shutdown.begun:
            self._parts.upgrade.decline(event, "the service is stopping")
        elif not self._start.listening:
            self._parts.upgrade.decline(event, "the supervisor is still starting: ask again in a moment")
        else:
            self._parts.upgrade.ask(event)

    def _stop(self, event: events.StopRequested) -> None:
        self._parts.upgrade.refused("the service is stopping")
        self._start.stop(event.urgency)

    # ---- time ----

    def _timer_fired(self, event: events.TimerFired) -> None:
        parts, timer = self._parts, event.timer
        match timer.kind:
            case TimerKind.HEARTBEAT:
                parts.reception.beat()
                parts.coordinator.go_on()
                parts.recycling.review()
                self._out.set_timer(timer, self._policy.rhythm.heartbeat)
            case TimerKind.REPEAT:
                parts.coordinator.preparing.repeat()
                parts.coordinator.migrating.repeat()
                parts.activation.repeat()
                parts.retirement.repeat()
                parts.children.leaving.repeat(parts.children.rolled)
                self._out.set_timer(timer, self._policy.rhythm.repeat)
            case TimerKind.PERSIST:
                seconds = self._policy.deadlines.persist
                self._not_written(parts.writing.overdue(timer.subject), f"no answer within {seconds:g} s")
            case TimerKind.REWRITE:
                self._start.rewrite()
                parts.reception.raise_again()
                parts.retirement.rewrite()
            case TimerKind.CHILD:
                self._slot_overdue(timer.subject)
            case TimerKind.ZYGOTE:
                parts.zygotes.overdue(timer.subject)
            case TimerKind.ADOPTION:
                self._start.know_all()
            case TimerKind.SHUTDOWN:
                parts.shutdown.overdue()
            case TimerKind.UPGRADE:
                parts.upgrade.overdue()
            case _:
                parts.coordinator.overdue(timer)

    def _slot_overdue(self, number: int) -> None:
        if (slot := self._parts.roster.slots.get(number)) is not None:
            self._parts.reception.overdue(slot)


def _death(status: int | None) -> str:
    if status is None:
        return "died"
    return f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"


def _spoken(lost: events.ZygoteLost) -> bool:
    """Whether a zygote said itself why it is gone."""
    return lost.refusal is not None and lost.refusal.stage is not Stage.PREPARE
