"""One worker's machine: it follows the supervisor's decisions and reports; it decides on no epoch itself."""

from collections.abc import Callable, Sequence
from typing import Any

from changeover.workers.participant import effects, events
from changeover.workers.participant.bench import Bench, Known
from changeover.workers.participant.desk import Desk, Identity
from changeover.workers.participant.effects import Effect
from changeover.workers.participant.events import Event
from changeover.workers.participant.migration import Migration
from changeover.workers.participant.residency import Residency
from changeover.workers.participant.tenure import State, Tenure
from changeover.workers.participant.tie import Patience, Tie
from changeover.workers.protocol import messages, plugin_messages
from changeover.workers.protocol.epoch import Fence, Stamp, fence
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import PROTOCOL_VERSION, SupervisorMessage
from changeover.workers.protocol.snapshot import Snapshot, UnitKey

__all__ = ("Identity", "Machine", "Patience")


class Machine:
    """Everything a worker decides.

    The same events at the same times give the same effects. The first event is `LinkUp`.

    Args:
        identity: Who the worker is.
        patience: How long it waits for its supervisor.
    """

    def __init__(self, identity: Identity, patience: Patience) -> None:
        self._desk = Desk(identity)
        self._rolled = identity.rolled
        self._part = identity.part
        self._residency = Residency()
        self._tenure = Tenure(self._desk)
        self._migration = Migration(self._desk)
        self._bench = Bench(self._desk, self._residency, self._tenure)
        self._tie = Tie(patience, self._desk, self._say_hello)
        self._events: dict[type[Event], Callable[[Any], None]] = {
            events.LinkUp: lambda _: self._tie.begin(),
            events.Received: lambda event: self._receive(event.message),
            events.Built: lambda event: self._bench.built(event.epoch, event.took, event.migrates),
            events.BuildFailed: lambda event: self._bench.failed(event.epoch, event.refusal),
            events.Migrated: lambda event: self._migration.returned(event.epoch, event.took),
            events.MigrateFailed: lambda event: self._migration.raised(event.epoch, event.refusal),
            events.Unmigrated: lambda event: self._migration.reversed(event.epoch, event.failed),
            events.Activated: lambda event: self._bench.followed(event.epoch, event.at),
            events.Connected: self._connected,
            events.ConnectFailed: self._connect_failed,
            events.UnitsDrained: self._drained,
            events.UnitsReleased: self._released,
            events.HookFailed: self._hook_failed,
            events.HookStalled: self._hook_stalled,
            events.StateNotTaken: self._state_not_taken,
            events.PluginsMoved: self._plugins_moved,
            events.Proved: self._proved,
            events.LeasesEnded: self._leases_ended,
            events.FarewellsSaid: self._farewells_said,
            events.Stranded: lambda event: self._committed(event.epoch),
            events.BeatDue: self._beat,
            events.CountsDue: self._counted,
            events.PipelineEventsDue: self._happened,
            events.TimerFired: lambda event: self._tie.overdue(event.timer),
        }
        self._messages: dict[type[SupervisorMessage], Callable[[Any], None]] = {
            messages.Pulse: self._pulse,
            messages.Prepare: self._prepare,
            messages.Commit: self._commit,
            messages.Abort: lambda message: self._aborted(message.stamp.epoch),
            messages.HandOver: lambda message: self._hand_over(message.stamp.epoch, message.successors),
            messages.Retire: lambda message: self._retire(message.units),
            plugin_messages.Migrate: lambda message: self._migration.asked(message.stamp.epoch, self._bench.prepared),
            plugin_messages.Unmigrate: self._unmigrate,
            messages.AskRegistry: self._ask_registry,
            messages.AskLeases: self._ask_leases,
            messages.AskPipelines: self._ask_pipelines,
            plugin_messages.AskPlugins: self._ask_plugins,
            plugin_messages.AskLeaks: self._ask_leaks,
        }

    @property
    def serving(self) -> int:
        """The epoch that is served."""
        return self._bench.serving.epoch

    @property
    def prepared(self) -> int | None:
        """The candidate that is held prepared, or that the worker has agreed to hand over to."""
        return self._tenure.agreed or self._bench.prepared

    @property
    def undecided(self) -> bool:
        """Whether the worker migrated something, and has not heard whether that is to stay."""
        return self._migration.undecided(self.serving)

    @property
    def tenure(self) -> State:
        """Whether the worker keeps its place."""
        return self._tenure.state

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Take in what happened at `now` (monotonic seconds), and say what is to be done, in order.

        Raises:
            BugFound: Our own code broke its tables; the worker is to exit, another takes its slot.
        """
        self._events[type(event)](event)
        return self._desk.take()

    # ---- what the supervisor says ----

    def _receive(self, message: SupervisorMessage) -> None:
        desk = self._desk
        verdict = fence(Stamp(desk.identity.journal, desk.term, self.serving), message.stamp)
        if verdict is Fence.NEWER_TERM:
            desk.term = message.stamp.term
            self._tie.restarted(message.seq)
        elif verdict is not Fence.PASS:
            return
        self._tie.heard(message)
        if isinstance(message, messages.Welcome):
            self._welcome(message)
        elif not self._tie.keeps(message):
            self._tie.note(message.seq)
            self._messages[type(message)](message)

    def _welcome(self, message: messages.Welcome) -> None:
        kept = self._tie.welcomed(message.seq)
        if kept is None:
            return
        self._join(message)
        for later in kept:
            self._receive(later)

    def _join(self, message: messages.Welcome) -> None:
        current, candidate = message.current, message.candidate
        if current is not None:
            self._migration.committed(current.epoch)
        if current is not None and current.epoch < self._migration.epoch <= message.decided:
            self._migration.aborted(self._migration.epoch)
        if self._tenure.yielding or (current is not None and current.rolled > self._rolled):
            self._hand_over(message.stamp.epoch, message.successors)
            return
        # What other processes serve is nothing to build; a candidate of theirs is one to agree to.
        mine = current if current is not None and current.rolled == self._rolled else None
        buildable = candidate if candidate is not None and candidate.rolled == self._rolled else None
        decided = max(message.decided, message.stamp.epoch)
        self._tenure.decided(decided)
        self._bench.welcomed(mine, buildable, decided)
        if candidate is not None and candidate.rolled > self._rolled:
            self._agree(candidate, message.successors)

    def _prepare(self, message: messages.Prepare) -> None:
        candidate = message.candidate
        if self._tenure.yielding or candidate.rolled > self._rolled:
            self._agree(candidate, message.successors)
        elif candidate.rolled == self._rolled and candidate.epoch > self._bench.settled:
            self._follow(self._bench.asked(candidate))

    def _agree(self, candidate: Snapshot, successors: tuple[WorkerId, ...]) -> None:
        if candidate.epoch > self._bench.settled or self._tenure.yielding:
            self._tenure.asked(candidate, successors)
            self._follow(self._bench.alone(candidate.epoch))

    def _pulse(self, message: messages.Pulse) -> None:
        self._committed(message.parts[self._part] if message.parts else message.stamp.epoch)

    def _commit(self, message: messages.Commit) -> None:
        epoch = message.stamp.epoch
        if epoch == self.serving:
            self._bench.report_activation()
        self._committed(epoch, message.successors)

    def _committed(self, epoch: int, successors: tuple[WorkerId, ...] = ()) -> None:
        self._migration.committed(epoch)
        if self._tenure.yielding or self._tenure.epoch == epoch > 0:
            self._hand_over(epoch, successors)
        elif epoch >= self._rolled:
            self._tenure.decided(epoch)
            self._follow(self._bench.committed(epoch))

    def _aborted(self, epoch: int) -> None:
        self._migration.aborted(epoch)
        self._tenure.decided(epoch)
        self._bench.aborted(epoch)

    def _hand_over(self, committed: int, successors: tuple[WorkerId, ...]) -> None:
        if not self._tenure.yielding and self._migration.undecided(committed):
            return  # its candidate is needed until it is known whether that is to be undone; it is told again
        self._tenure.ordered(committed, successors)
        self._bench.close()

    def _unmigrate(self, message: plugin_messages.Unmigrate) -> None:
        self._migration.called_back(message.stamp.epoch, self._bench.prepared)

    def _follow(self, known: Known) -> None:
        if known is Known.MISSING:
            self._tie.lost_thread()

    def _retire(self, units: tuple[UnitKey, ...]) -> None:
        absent = self._residency.absent(units)
        going = self._residency.to_release(units)
        if going:
            self._desk.put(effects.Release(going))
        if absent:
            self._desk.send(messages.Retired(self._stamp(), self._desk.worker, absent))

    def _ask_registry(self, message: messages.AskRegistry) -> None:
        self._desk.put(effects.AnswerRegistry(message.ticket, self._stamp()))

    def _ask_leases(self, message: messages.AskLeases) -> None:
        self._desk.put(effects.AnswerLeases(message.ticket, self._stamp()))

    def _ask_pipelines(self, message: messages.AskPipelines) -> None:
        self._desk.put(effects.AnswerPipelines(message.ticket, self._stamp()))

    def _ask_plugins(self, message: plugin_messages.AskPlugins) -> None:
        self._desk.put(effects.AnswerPlugins(message.ticket, self._stamp()))

    def _ask_leaks(self, message: plugin_messages.AskLeaks) -> None:
        self._desk.put(effects.AnswerLeaks(message.ticket, self._stamp()))

    # ---- what the shell says ----

    def _connected(self, event: events.Connected) -> None:
        self._tenure.connected(event.epoch)
        self._bench.advance()

    def _connect_failed(self, event: events.ConnectFailed) -> None:
        self._tenure.unreachable(event.epoch, event.refusal)
        self._bench.advance()

    def _drained(self, event: events.UnitsDrained) -> None:
        self._residency.unused(event.units)
        self._desk.send(messages.Drained(self._stamp(), self._desk.worker, event.units))

    def _released(self, event: events.UnitsReleased) -> None:
        self._residency.released(event.units)
        self._desk.send(messages.Retired(self._stamp(), self._desk.worker, event.units))

    def _hook_failed(self, event: events.HookFailed) -> None:
        self._desk.send(messages.Degraded(self._stamp(), self._desk.worker, event.refusal))

    def _hook_stalled(self, event: events.HookStalled) -> None:
        worker = self._desk.worker
        self._desk.send(plugin_messages.HookStalled(self._stamp(), worker, event.unit, event.hook, event.seconds))

    def _state_not_taken(self, event: events.StateNotTaken) -> None:
        told = (event.plugin, event.version, event.old, event.why)
        self._desk.send(plugin_messages.StateNotTaken(self._stamp(), self._desk.worker, *told))

    def _plugins_moved(self, event: events.PluginsMoved) -> None:
        self._desk.send(plugin_messages.PluginsMoved(self._stamp(), self._desk.worker, event.moves))

    def _proved(self, event: events.Proved) -> None:
        told = (event.units, event.pause, event.leaks)
        self._desk.send(plugin_messages.Proved(self._stamp(), self._desk.worker, *told))

    def _leases_ended(self, event: events.LeasesEnded) -> None:
        told = messages.LeasesEnded(self._stamp(), self._desk.worker, event.bound, event.ended, event.stuck)
        self._desk.send(told)

    def _farewells_said(self, event: events.FarewellsSaid) -> None:
        worker = self._desk.worker
        self._desk.send(messages.FarewellsSaid(self._stamp(), worker, event.kind, event.why, event.count, event.oldest))

    def _beat(self, event: events.BeatDue) -> None:
        self._desk.send(
            messages.Beat(
                self._stamp(),
                self._desk.worker,
                self._tie.seen,
                self.prepared,
                event.leases,
                event.connections,
                event.requests,
                event.rss,
                event.owed,
                event.left_behind,
                event.leaked,
                event.leads,
                self._bench.migrates,
            )
        )
        # Nobody acknowledges Drained but by Retire, which may be hours away: a lost one is made good here.
        if self._residency.drained:
            self._desk.send(messages.Drained(self._stamp(), self._desk.worker, self._residency.drained))

    def _counted(self, event: events.CountsDue) -> None:
        self._desk.send(messages.Counted(self._stamp(), self._desk.worker, event.counts))

    def _happened(self, event: events.PipelineEventsDue) -> None:
        self._desk.send(messages.PipelineEventsTold(self._stamp(), self._desk.worker, event.events))

    # ---- inside ----

    def _say_hello(self) -> None:
        identity = self._desk.identity
        self._desk.send(
            messages.Hello(
                self._stamp(),
                identity.worker,
                PROTOCOL_VERSION,
                identity.nonce,
                identity.pid,
                self.prepared,
                self._bench.resident(),
                identity.rolled,
                self._bench.migrates,
            )
        )

    def _stamp(self) -> Stamp:
        return self._desk.stamp(self.serving)
