"""Who speaks, and what that says about them: workers introduce themselves, report, fall silent."""

from changeover.supervisor.core import child
from changeover.supervisor.core.activation import Activation
from changeover.supervisor.core.child import State
from changeover.supervisor.core.children import Children, nonce
from changeover.supervisor.core.coordinator import Coordinator
from changeover.supervisor.core.cutover import OPEN
from changeover.supervisor.core.effects import Hold, ProcessSignal, Signal
from changeover.supervisor.core.entries import EpochRaised
from changeover.supervisor.core.events import Child
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records import service
from changeover.supervisor.core.records.cutover import WorkerActivated, WorkerRefused
from changeover.supervisor.core.records.plugin import LeadershipMoved
from changeover.supervisor.core.records.worker import WorkerAdopted, WorkerHeard, WorkerSilent, WorkerYields
from changeover.supervisor.core.reports import hand_on, hand_on_late
from changeover.supervisor.core.retirement import Retirement
from changeover.supervisor.core.roster import Member, Roster, Slot
from changeover.supervisor.core.succession import Succession
from changeover.supervisor.core.writing import Writing
from changeover.workers.protocol import messages, plugin_messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import PROTOCOL_VERSION, Hello, WorkerMessage
from changeover.workers.protocol.snapshot import Snapshot


class Reception:
    """Hears workers.

    Attributes:
        raising: Whether numbers that only a worker knew are not yet safe from being given again.
    """

    __slots__ = (
        "_activation", "_away", "_beaten", "_children", "_coordinator", "_ledger", "_out", "_policy",
        "_retirement", "_roster", "_secret", "_succession", "_writing", "raising",
    )  # fmt: skip

    def __init__(
        self,
        policy: Policy,
        roster: Roster,
        children: Children,
        ledger: Ledger,
        coordinator: Coordinator,
        activation: Activation,
        succession: Succession,
        retirement: Retirement,
        writing: Writing,
        out: Outbox,
        secret: str,
    ) -> None:
        self._policy = policy
        self._roster = roster
        self._children = children
        self._ledger = ledger
        self._coordinator = coordinator
        self._activation = activation
        self._succession = succession
        self._retirement = retirement
        self._writing = writing
        self._out = out
        self._secret = secret
        self._beaten = 0.0
        self._away = 0.0
        self.raising = False

    # ---- joining ----

    def subscribed(self, worker: WorkerId) -> None:
        """A worker can be told things; one whose Hello is still to come is welcomed then."""
        slot = self._roster.find(worker)
        if slot is None or slot.member is None:
            self._out.ignore(worker, "subscription", "unknown worker")
            return
        if slot.member.greeted:
            self.welcome(slot.member)
        elif not self._ledger.is_ours(worker.incarnation):
            # It believes in the supervisor before until it hears of a later term.
            self._out.unicast(worker, self._pulse(messages.UNORDERED))

    def hello(self, message: Hello) -> None:
        """A worker introduces itself, for the first time or again."""
        worker = message.worker
        if message.nonce != nonce(self._secret, worker):
            self._out.ignore(worker, "Hello", "wrong nonce")
            return
        slot = self._roster.find(worker) or self._adopted(worker, message)
        if slot is None or slot.member is None:
            self._out.ignore(worker, "Hello", "nobody's worker")
            self._send_away(message)
            return
        if message.protocol != PROTOCOL_VERSION:
            self._children.leaving.kill(slot, f"speaks protocol {message.protocol}, not {PROTOCOL_VERSION}")
            return
        self._raise_to(message.stamp.epoch, message.prepared)
        self._greet(slot, slot.member, message)

    def _send_away(self, message: Hello) -> None:
        """Nobody's worker serves no longer: it would take connections in, and answer none after the next commit."""
        worker = message.worker
        if self._ledger.is_ours(worker.incarnation):
            self._out.put(Signal(worker, ProcessSignal.KILL))
        elif not self._children.is_buried(worker):
            # It was busy for so long that its slot was filled. What it has begun it ends.
            self._out.put(Hold(worker, message.pid))
            self._out.put(Signal(worker, ProcessSignal.TERM))

    def _greet(self, slot: Slot, member: Member, message: Hello) -> None:
        first, tried = not member.greeted, member.alone
        member.pid = member.pid or message.pid
        self._heard(member)
        self._children.joining.greeted(slot)
        if first:
            self._retirement.adopted(member, message.resident)
            if not self._ledger.is_ours(member.incarnation):
                self._out.tell(WorkerAdopted(member.worker, member.pid, message.stamp.epoch))
        self.welcome(member)
        if tried and not member.alone:
            self._children.joining.reprieve(slot)
        self._observe(slot, member, message.stamp.epoch, message.prepared, message.migrates)
        if first:
            self._retirement.review()

    def welcome(self, member: Member) -> None:
        """Tell a worker all it needs to join."""
        candidate, current = self._coordinator.candidate_for(member), self._current(member)
        if self._waits(member, candidate) or self._tries_alone(member, candidate):
            current = None
        member.base = 0 if current is None else current.epoch
        if candidate is not None:
            self._coordinator.preparing.joins(member, candidate.epoch)
        self._out.unicast(
            member.worker,
            messages.Welcome(
                self._ledger.stamp(0 if current is None else current.epoch),
                self._out.seq,
                self._coordinator.phase,
                current,
                candidate,
                self._coordinator.decided,
                self._succession.successors_of(member, self._heir(member, current, candidate)),
                self._away,
            ),
        )

    def _waits(self, member: Member, candidate: Snapshot | None) -> bool:
        """Whether a worker of a part is to accept nothing: the part is not committed, or the worker is to leave."""
        slot, parted = self._roster.find(member.worker), self._ledger.parted
        if slot is None or parted is None or parted.rolled != member.rolled:
            return False
        return (slot.fresh and candidate is not None) or (member.told is not None and not member.epoch)

    def _tries_alone(self, member: Member, candidate: Snapshot | None) -> bool:
        """Whether a worker has the candidate of a swap and nothing else, because what serves kills who comes here."""
        slot, current = self._roster.find(member.worker), self._current(member)
        if slot is None or current is None or candidate is None or self._coordinator.state not in OPEN:
            return False
        if self._ledger.parted is not None:
            return False
        if member.adopted or member.epoch or member.base:
            return False
        return self._children.crashes.suspected(slot) and current.rolled == candidate.rolled == member.rolled

    def _current(self, member: Member) -> Snapshot | None:
        return self._ledger.current_for(member.rolled, member.heirs)

    @staticmethod
    def _heir(member: Member, current: Snapshot | None, candidate: Snapshot | None) -> Snapshot | None:
        """Whose workers take over: who leaves already cannot wait for a candidate, which may never serve."""
        leaves = member.yielding or (current is not None and member.rolled < current.rolled)
        return current if leaves else candidate or current

    def welcome_all(self) -> None:
        """Tell every worker that introduced itself what has become authoritative without a cutover."""
        for slot in tuple(self._roster.slots.values()):
            if slot.member is not None and slot.member.greeted:
                self.welcome(slot.member)
                self._children.joining.reprieve(slot)

    def _adopted(self, worker: WorkerId, hello: Hello) -> Slot | None:
        """The slot of a former supervisor's worker; one of our own that we gave up is not taken back."""
        if self._ledger.is_ours(worker.incarnation):
            return None
        if not self._children.adopt_late(Child(worker, hello.pid, hello.rolled)):
            return None
        self._out.put(Hold(worker, hello.pid))
        return self._roster.find(worker)

    def _raise_to(self, *epochs: int | None) -> None:
        highest = max(epoch or 0 for epoch in epochs)
        if highest > self._ledger.given:
            self._ledger.raise_to(highest)
            self.raising = True
            self._out.tell(service.EpochRaised(highest))
            self._writing.write(EpochRaised(highest))

    def raised(self, epoch: int) -> None:
        """It is on disk that numbers up to `epoch` are taken."""
        self.raising = self.raising and epoch < self._ledger.given

    def raise_again(self) -> None:
        """Try again to write that numbers are taken."""
        if self.raising:
            self._writing.write(EpochRaised(self._ledger.given))

    # ---- reporting ----

    def follows_another(self, worker: WorkerId) -> bool:
        """Whether a worker that was taken over follows a supervisor whose term is the same as ours.

        A term that could not be written is begun again by the next supervisor, so who heard of it misses the change: it
        reports, and never introduces itself.
        """
        slot = self._roster.find(worker)
        if slot is None or slot.member is None or slot.member.greeted or not slot.member.adopted:
            return False
        return self._out.now - slot.member.since > self._policy.rhythm.silence

    def report(self, message: WorkerMessage) -> None:
        """A worker reports; it must have introduced itself."""
        slot = self._roster.find(message.worker)
        if slot is None or slot.member is None or not slot.member.greeted:
            if slot is not None and slot.member is not None and isinstance(message, messages.Retired):
                slot.member.released |= frozenset(message.units)
            if slot is None and self._is_dead(message.worker) and hand_on_late(self._out, message):
                return
            self._out.ignore(message.worker, type(message).__name__, "unknown worker")
            return
        self._heard(slot.member)
        self._handle(slot, slot.member, message)

    def _is_dead(self, worker: WorkerId) -> bool:
        """Whether a worker that fills no slot is one that we saw die."""
        return self._ledger.is_ours(worker.incarnation) or self._children.is_buried(worker)

    def _handle(self, slot: Slot, member: Member, message: WorkerMessage) -> None:
        epoch, incarnation = message.stamp.epoch, member.incarnation
        match message:
            case messages.Beat():
                self._beats(slot, member, message)
            case messages.Prepared(took=took, migrates=migrates):
                member.prepared = epoch
                self._coordinator.preparing.vote(member, epoch, took, migrates)
            case plugin_messages.Migrated(took=took):
                self._coordinator.migrating.done(member, epoch, took)
            case plugin_messages.Unmigrated(failed=failed):
                self._coordinator.migrating.undone(member, epoch, failed)
            case messages.Activated():
                self._activated(slot, member, message)
            case messages.Yielding():
                self._yields(slot, member)
            case messages.Drained(units=units):
                self._retirement.drained(incarnation, units)
            case messages.Retired(units=units):
                self._retirement.retired(incarnation, units)
            case messages.Refused():
                self._refused(slot, member, message)
            case _:
                hand_on(self._out, member.pid, message)

    def _beats(self, slot: Slot, member: Member, message: messages.Beat) -> None:
        led = member.beat is not None and member.beat.leads
        member.beat = message
        if message.leads and not led:
            self._out.tell(LeadershipMoved(member.worker, member.pid))
        self._observe(slot, member, message.stamp.epoch, message.prepared, message.migrates)

    def _activated(self, slot: Slot, member: Member, message: messages.Activated) -> None:
        epoch = message.stamp.epoch
        if epoch > member.activated:
            member.activated = epoch
            self._out.tell(WorkerActivated(member.worker, member.pid, epoch, message.at))
        member.epoch = max(member.epoch, epoch)
        self._retirement.activated(member.incarnation, epoch, message.draining)
        self._observe(slot, member, epoch, None)

    def _yields(self, slot: Slot, member: Member) -> None:
        if not member.yielding:
            member.yielding = True
            self._children.yields(slot)
            self._retirement.yields(member)
            self._out.tell(WorkerYields(member.worker, member.pid))
            self._coordinator.migrating.yields(member)
            self._coordinator.preparing.recount()
            self._coordinator.deciding.follow()

    def _refused(self, slot: Slot, member: Member, message: messages.Refused) -> None:
        epoch, refusal = message.stamp.epoch, message.refusal
        coordinator = self._coordinator
        if coordinator.preparing.veto(member, epoch, refusal) or coordinator.migrating.refused(member, epoch, refusal):
            return
        current = self._current(member)
        if current is not None and epoch == current.epoch > member.epoch:
            self._out.tell(WorkerRefused(member.worker, member.pid, epoch, refusal))
            self._children.leaving.kill(slot, f"cannot serve epoch {epoch}: {refusal.summary}")
        else:
            self._out.ignore(member.worker, "Refused", "not asked")

    def _observe(
        self, slot: Slot, member: Member, epoch: int, prepared: int | None, migrates: tuple[str, ...] = ()
    ) -> None:
        """Take in what a worker says it serves and holds; messages may come out of order, epochs only rise."""
        member.epoch = max(member.epoch, epoch)
        if prepared is not None and prepared > (member.prepared or 0):
            member.prepared = prepared
        if prepared is not None:
            self._coordinator.preparing.vote(member, prepared, 0.0, migrates)
        current = self._current(member)
        serves = current is not None and member.epoch == current.epoch > 0
        if serves and child.TABLE.lists(slot.state, child.Cause.SERVES):
            self._children.joining.serves(slot)
        self._coordinator.deciding.follow()

    # ---- falling silent, dying ----

    def beat(self) -> None:
        """Tell workers that we are here, and operators who is not heard."""
        self._out.broadcast(self._pulse(self._out.next_seq()))
        self._forgive()
        for slot in tuple(self._roster.slots.values()):
            if slot.member is not None and slot.member.heard is not None:
                self._listen(slot, slot.member, self._out.now - slot.member.heard)

    def announce(self, away: float) -> None:
        """Tell workers how many seconds they are to wait for us if we fall silent; 0 = as long as for the dead."""
        self._away = away
        self._out.broadcast(self._pulse(self._out.next_seq()))

    def _pulse(self, seq: int) -> messages.Pulse:
        stamp = self._ledger.stamp(self._ledger.highest)
        return messages.Pulse(stamp, seq, self._coordinator.phase, self._ledger.words, self._away)

    def _forgive(self) -> None:
        """Hold nobody's silence against it when we ourselves were not there to hear."""
        late = self._out.now - self._beaten
        self._beaten = self._out.now
        if late > self._policy.rhythm.heartbeat + self._policy.rhythm.silence:
            for member in self._roster.members():
                member.heard = None if member.heard is None else self._out.now

    def _listen(self, slot: Slot, member: Member, seconds: float) -> None:
        rhythm = self._policy.rhythm
        if seconds > rhythm.silence and not member.silent:
            member.silent = True
            self._out.tell(WorkerSilent(member.worker, member.pid, seconds))
        if rhythm.hung and seconds > rhythm.hung:
            self._children.leaving.kill(slot, f"its loop has not been heard for {seconds:.0f} s")

    def overdue(self, slot: Slot) -> None:
        """A slot's timer fired. A worker that was not born in time is given up, and mourned like any other."""
        if slot.state is State.FORKING and slot.member is not None:
            self._out.put(Signal(slot.member.worker, ProcessSignal.KILL))
            cause = f"was not forked within {self._policy.deadlines.fork:g} s"
            self.bury(slot, slot.member, slot.state, None, cause)
        else:
            self._children.overdue(slot)

    def bury(self, slot: Slot, member: Member, state: State, status: int | None, cause: str) -> None:
        """A worker is confirmed dead; everybody who waits for it goes on."""
        member.status = status
        self._children.crashes.died(slot, member, state)
        at_once = self._coordinator.explains(member, state)
        self._children.exited(slot, status, cause, at_once=at_once)
        self._retirement.gone(member.incarnation)
        self._coordinator.died(member, state, cause)

    def _heard(self, member: Member) -> None:
        if member.silent and member.heard is not None:
            member.silent = False
            self._out.tell(WorkerHeard(member.worker, member.pid, self._out.now - member.heard))
        member.heard = self._out.now
