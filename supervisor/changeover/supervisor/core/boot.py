"""The law of a supervisor's start, and what is done for it.

A new term is on disk before anything is decided under it. When it cannot be written the supervisor
is READ_ONLY: it adopts and supervises and refuses cutovers, and goes on trying. A worker that knows
a later term than ours (the journal was put back) sends us through RETERMING: ours must be later.

What serves after a start: with living workers, what the journal says is committed, at once. A cold
start holds that back and makes what is on disk the candidate of a cutover (trigger BOOT); refused
or held, the last committed content is revealed instead, loudly; without any, the service ends with
the reason. Once a worker serves, the start is over.
"""

import enum

from changeover.supervisor.core import outcome
from changeover.supervisor.core.child import State as ChildState
from changeover.supervisor.core.effects import StoreCell
from changeover.supervisor.core.entries import Origin, SlotRefusal, TermBegun, Trigger
from changeover.supervisor.core.events import Booted, Timer, TimerKind, Urgency
from changeover.supervisor.core.outcome import CutoverRequest, Outcome
from changeover.supervisor.core.parts import Parts
from changeover.supervisor.core.policy import Boot
from changeover.supervisor.core.records.boot import BootFellBack, StartCompleted
from changeover.supervisor.core.records.service import ReadOnly, TermBegan
from changeover.supervisor.core.requests import Wish
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.protocol.snapshot import Snapshot
from changeover.workers.protocol.table import Table

BOOT_TICKET = -1
"""The wish that a cold start makes by itself; its outcome is the start's own business."""

CANNOT = 1
"""Exit code of a start that came to nothing for another reason than what was to be served: the journal, a deadline."""
WORKER_FAILED = 3
"""Exit code of a start whose workers, or whose zygote, died or fell silent and could not say why."""
APP_FAILED = 4
"""Exit code of a start at which what was to be served was refused, with the reason: by the scan, an import, a hook."""


class State(enum.Enum):
    """How far the start has come, as far as the journal is concerned."""

    ASLEEP = "asleep"
    OPENING = "opening"
    """The first term is being written; nobody is listened to."""
    OPEN = "open"
    READ_ONLY = "read only"
    """The term could not be written."""
    RETERMING = "reterming"
    """A later term is being written, because a worker knew one."""


class Cause(enum.Enum):
    """What moves it."""

    BOOTED = "booted"
    WRITTEN = "written"
    NOT_WRITTEN = "not written"
    OUTRANKED = "outranked"


TABLE: Table[State, Cause] = Table(
    "boot",
    State.ASLEEP,
    {
        State.ASLEEP: {Cause.BOOTED: State.OPENING},
        State.OPENING: {Cause.WRITTEN: State.OPEN, Cause.NOT_WRITTEN: State.READ_ONLY},
        State.OPEN: {Cause.OUTRANKED: State.RETERMING},
        State.READ_ONLY: {
            Cause.WRITTEN: State.OPEN,
            Cause.NOT_WRITTEN: State.READ_ONLY,
            Cause.OUTRANKED: State.RETERMING,
        },
        State.RETERMING: {
            Cause.WRITTEN: State.OPEN,
            Cause.NOT_WRITTEN: State.READ_ONLY,
            Cause.OUTRANKED: State.RETERMING,
        },
    },
)

FIRST_WISH = CutoverRequest(Origin(Trigger.BOOT))


class Start:
    """Brings a service up.

    Attributes:
        state: How far it has come with the journal.
        slots: How many workers are wanted.
        settled: Whether a worker has served since: before that, failure ends the service.
    """

    __slots__ = (
        "_booted", "_children", "_coordinator", "_heard", "_ledger", "_obstacle", "_out", "_policy", "_reception",
        "_reckoning",
        "_resumes", "_retirement", "_roster", "_shutdown", "_stop", "_succession", "_undecided", "_writing", "_zygotes",
        "settled", "slots", "state",
    )  # fmt: skip

    def __init__(self, parts: Parts, booted: Booted) -> None:
        self._booted = booted
        self._policy = parts.policy
        self._ledger = parts.ledger
        self._roster = parts.roster
        self._children = parts.children
        self._zygotes = parts.zygotes
        self._succession = parts.succession
        self._coordinator = parts.coordinator
        self._retirement = parts.retirement
        self._reception = parts.reception
        self._shutdown = parts.shutdown
        self._writing = parts.writing
        self._out = parts.out
        self._undecided = booted.recovered.undecided
        self._stop: Urgency | None = None
        self._obstacle: str | None = None
        self._heard = 0.0
        self._reckoning = False
        self._resumes: Snapshot | None = None
        self.state = TABLE.start
        self.slots = booted.slots
        self.settled = False

    @property
    def listening(self) -> bool:
        """Whether what workers say can be handled."""
        return self.state not in (State.ASLEEP, State.OPENING)

    def begin(self) -> None:
        """Write the new term; nothing else happens before that is answered."""
        self._move(Cause.BOOTED)
        self._writing.write(TermBegun(self._ledger.term))

    def written(self, term: int) -> None:
        """A term is on disk."""
        if term != self._ledger.term or self.state is State.OPEN:
            return
        first = self.state is State.OPENING
        self._move(Cause.WRITTEN)
        committed = self._ledger.committed
        self._out.tell(TermBegan(term, 0 if committed is None else committed.epoch))
        if not self._shutdown.begun and self._coordinator.obstacle == self._obstacle:
            self._coordinator.obstacle = None
        if self._undecided is not None:
            self._coordinator.settle_left_over(self._undecided)
            self._undecided = None
        if first:
            self._bring_up()
        self.review()

    def not_written(self, term: int, reason: str) -> None:
        """A term may not be on disk: supervise, decide nothing, go on trying."""
        if term != self._ledger.term or self.state is State.OPEN:
            return
        first = self.state is State.OPENING
        self._move(Cause.NOT_WRITTEN)
        why = f"the journal cannot be written: {reason}"
        self._out.tell(ReadOnly(reason))
        if not self._shutdown.begun:
            self._obstacle = why
            self._coordinator.obstruct(why)
        self._out.set_timer(Timer(TimerKind.REWRITE), self._policy.deadlines.reread)
        if first:
            self._bring_up()
        self.review()

    def rewrite(self) -> None:
        """Try again to write the term."""
        if self.state is State.READ_ONLY:
            self._writing.write(TermBegun(self._ledger.term))

    def outranked(self, term: int) -> None:
        """A worker knows a later term."""
        self._ledger.outrank(term)
        self._move(Cause.OUTRANKED)
        self._writing.write(TermBegun(self._ledger.term))
        self.review()

    def scale(self, slots: int) -> None:
        """Want so many workers, as soon as it is known how many there are."""
        self.slots = slots
        if self.listening:
            self._children.scale(slots)

    def stop(self, urgency: Urgency) -> None:
        """End the service, as soon as it is known what there is to end."""
        if self.listening:
            self._shutdown.ask(urgency)
        else:
            self._stop = urgency

    def wish_ended(self, ending: Outcome) -> None:
        """What is on disk serves, or it does not."""
        if isinstance(ending, outcome.Committed | outcome.Undecided) or self._shutdown.begun:
            return
        if isinstance(ending, outcome.Unchanged):
            self._reveal()
            return
        reason = ending.reason if isinstance(ending, outcome.Refused) else "what is on disk needs new processes"
        refusals = ending.refusals if isinstance(ending, outcome.Refused) else ()
        if self._ledger.committed is not None and self._policy.boot is Boot.AUTO:
            summary = ending.summary if isinstance(ending, outcome.Refused) else ()
            self._out.tell(BootFellBack(self._ledger.committed.epoch, reason, refusals, summary))
            self._ledger.relisten(self._booted.listen)
            self._reveal()
            return
        code = self._code(refusals) if isinstance(ending, outcome.Refused) else APP_FAILED
        self._shutdown.ask(Urgency.QUICK, code, reason)

    def _code(self, refusals: tuple[SlotRefusal, ...]) -> int:
        if refusals and all(each.refusal.fault is Fault.RESOURCE and _ours(each) for each in refusals):
            return CANNOT
        # PREPARE is the stage of those who could not speak for themselves.
        if any(each.refusal.stage not in (Stage.PREPARE, Stage.COMMIT) for each in refusals):
            return APP_FAILED
        return WORKER_FAILED if refusals or self._all_parked() else CANNOT

    def zygote_lost(self, reason: str, refused: bool) -> None:
        """A zygote that is to serve could not preload, or is gone."""
        if not self.settled and (refused or self._failing()):
            self._shutdown.ask(Urgency.QUICK, APP_FAILED if refused else WORKER_FAILED, reason)

    def review(self) -> None:
        """Let cutovers begin once it is known who lives; give up when nobody comes up."""
        if not self.settled:
            wanted = self._roster.wanted()
            self.settled = any(slot.state is ChildState.SERVING for slot in wanted)
            if self._all_parked() and self._ledger.revealed:
                self._shutdown.ask(Urgency.QUICK, WORKER_FAILED, wanted[0].note)
        if not self._children.complete and not self._zygotes.adopting and self.listening:
            self._children.complete = True
            self._children.fill()
        if not self._retirement.complete and self._all_heard:
            self._reckon()
        held_up = self.state is not State.OPEN or self._zygotes.adopting or self._reception.raising
        if self._coordinator.held_up is not held_up:
            self._coordinator.held_up = held_up
            self._coordinator.proceed()
        if self._resumes is not None and self._ledger.parted is None:
            self._resume(self._resumes)

    def _resume(self, revealed: Snapshot) -> None:
        """Tell once that all workers serve what was revealed; of what is committed since, its cutover tells."""
        wanted = self._roster.wanted()
        if self._ledger.committed is not revealed:
            self._resumes = None
        elif wanted and self._children.complete and all(slot.state is ChildState.SERVING for slot in wanted):
            self._resumes = None
            self._out.tell(StartCompleted(revealed.epoch, len(wanted)))

    @property
    def _all_heard(self) -> bool:
        """Whether everybody has introduced itself: who leaves and has no zygote does so at a heartbeat."""
        return self._children.complete and self.listening and self._out.now >= self._heard

    def know_all(self) -> None:
        """Whoever has not introduced itself by now is dead."""
        self._retirement.complete = True
        self._retirement.review()

    def _reckon(self) -> None:
        """Know all now; later where a zygote died before it could tell whom it had."""
        if not self._zygotes.mute:
            self.know_all()
        elif not self._reckoning:
            self._reckoning = True
            self._out.set_timer(Timer(TimerKind.ADOPTION), self._policy.deadlines.boot)

    def _failing(self) -> bool:
        committed = self._ledger.committed
        zygote = None if committed is None else self._zygotes.of_roll(committed.rolled)
        return zygote is not None and zygote.failing

    def _all_parked(self) -> bool:
        wanted = self._roster.wanted()
        return bool(wanted) and all(slot.state is ChildState.PARKED for slot in wanted)

    def _bring_up(self) -> None:
        booted, rhythm = self._booted, self._policy.rhythm
        self._out.set_timer(Timer(TimerKind.HEARTBEAT), rhythm.heartbeat)
        self._out.set_timer(Timer(TimerKind.REPEAT), rhythm.repeat)
        self._retirement.inherit(booted.recovered.unretired)
        if booted.recovered.unretired and (booted.zygotes or booted.living):
            self._heard = self._out.now + rhythm.silence
        self._take_up_parts(bool(booted.living or booted.zygotes))
        committed = self._ledger.committed
        self._zygotes.adopt(booted.zygotes, committed)
        self._children.complete = not self._zygotes.adopting
        for child in booted.living:
            self._children.adopt(child)
        self._children.scale(self.slots)
        if committed is not None and (self._is_served(committed) or self._policy.boot is Boot.LAST):
            self._reveal()
        elif self.state is State.READ_ONLY:
            self.wish_ended(outcome.Refused(0, reason="the journal cannot be written"))
        else:
            self._coordinator.ask_first(Wish(BOOT_TICKET, FIRST_WISH, self._out.now))
        if self._stop is not None:
            self._shutdown.ask(self._stop)

    def _is_served(self, committed: Snapshot) -> bool:
        """Whether somebody may serve still. Who was made for what was never committed is what a start left behind."""
        rolls = {each.rolled for each in (committed, self._ledger.parted) if each is not None}
        serving = any(each.rolled <= max(rolls) for each in self._booted.living)
        return serving or any(each.rolled in rolls for each in self._booted.zygotes)

    def _take_up_parts(self, somebody_lives: bool) -> None:
        parted, part = self._ledger.parted, self._ledger.part
        if parted is None or part is None:
            return
        if somebody_lives:
            self._children.words[parted.rolled] = parted.part
            self._children.kept = max(0, self.slots - part.number * part.size)
        else:
            self._ledger.join()
            self._retirement.inherit((parted.epoch,))

    def _reveal(self) -> None:
        if self._ledger.revealed:
            return
        self._ledger.revealed = True
        self._resumes = self._ledger.committed
        if self._ledger.committed is not None:
            self._succession.serve(self._ledger.committed)
            self._store(self._ledger.committed)
            self._reception.welcome_all()

    def _store(self, committed: Snapshot) -> None:
        """Store what a former supervisor may not have stored any more."""
        parted = self._ledger.parted
        self._out.put(StoreCell(committed.epoch, committed.part))
        if parted is not None:
            if parted.epoch > committed.epoch:
                self._out.put(StoreCell(parted.epoch, parted.part))
        elif self._booted.living or self._booted.zygotes:
            self._out.put(StoreCell(committed.epoch, 1 - committed.part))

    def _move(self, cause: Cause) -> None:
        self.state = TABLE.after(self.state, cause)


def _ours(refusal: SlotRefusal) -> bool:
    """Whether nobody's code is to blame: a plugin named in a preflight asked for memory, or sent itself a signal."""
    return refusal.slot < 0 and not (refusal.refusal.stage is Stage.PREFLIGHT and refusal.refusal.unit)
