"""What is known of the cutover that runs."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from changeover.supervisor.core.edits import RemovePlugin
from changeover.supervisor.core.entries import Held, Origin, Part, SlotRefusal, Trigger
from changeover.supervisor.core.outcome import Action, Candidate, CutoverRequest, Durations
from changeover.supervisor.core.requests import Wish
from changeover.supervisor.core.roster import Member
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import Snapshot


@dataclass(slots=True)
class Times:
    """When each phase began; None for one that was not reached."""

    asked: float
    began: float
    registered: float | None = None
    preloading: float | None = None
    preflighted: float | None = None
    prepared: float | None = None
    decided: float | None = None
    committed: float | None = None

    def durations(self, now: float) -> Durations:
        """Seconds that each phase took, up to `now`."""
        opened = self.prepared if self.preflighted is None else self.preflighted
        preloaded = _between(self.preloading, self.preflighted, now)
        return Durations(
            waited=self.began - self.asked,
            scan=(now if self.registered is None else self.registered) - self.began,
            preflight=_between(self.preflighted, self.prepared, now) if opened is not None else 0.0,
            prepare=preloaded + _between(self.prepared, self.decided, now),
            commit=_between(self.committed, None, now),
            total=now - self.asked,
        )


def _between(start: float | None, end: float | None, now: float) -> float:
    if start is None:
        return 0.0
    return (now if end is None else end) - start


@dataclass(slots=True)
class Run:
    """One cutover, from its request to its outcome.

    Attributes:
        epoch: The number that the candidate has or would get.
        wishes: Who waits for it; none for what a former supervisor left behind.
        request: What they want, merged.
        times: When each phase began.
        candidate: What the scan found.
        previous: The epoch that it superseded.
        held: What is held once it is committed.
        voters: Rolls whose workers have a vote.
        prepared: Incarnations that said yes.
        refused: Incarnations that said no.
        refusals: Every "no".
        spared: Slots whose next worker tries it alone, as what serves may be what killed the one before.
        awaited: Those of them whose next worker is on its way.
        tried_alone: Whether somebody who has it alone has prepared it, so that it kills nobody by itself.
        tried_beside: Whether somebody has prepared it beside what serves.
        lost: Workers that died or were killed without making it fail.
        migrants: Incarnation -> the plugins that migrate something for the candidate, as it said.
        elected: Who was told to migrate; None while nobody was.
        undoes: Who was told to undo that; None while nobody was.
        followers: Incarnations that have to serve it before its outcome is told.
        due: Whether the time to follow has passed: where somebody serves it, who came since the vote is not waited for.
        overdue: Whether no worker that is not there yet is waited for any more.
        in_turns: Whether those who wait to be asked wait until somebody has tried it, because workers crashed.
        late: Whether its deadline passed: nobody is waited for any more who could be done without.
        silent: Incarnations that did not answer by then.
        condemned: Slot -> the incarnation in it that was killed because it did not answer.
        questioned: Incarnations whose stacks are being written down.
        reason: Why it failed.
        doubt: Why nobody knows whether its decision is on disk.
        decision_tried: Whether writing its commit was tried, so that it may be on disk.
        told: Whether its outcome was told.
        part: Which part of a roll it is; None for a cutover of all workers.
        fresh: Slots that were opened for it.
        leaving: Slots whose workers its part replaces.
    """

    epoch: int
    wishes: tuple[Wish, ...]
    request: CutoverRequest | None
    times: Times
    candidate: Candidate | None = None
    previous: int = 0
    held: tuple[Held, ...] = ()
    voters: frozenset[int] = frozenset()
    prepared: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    refusals: list[SlotRefusal] = field(default_factory=list)
    spared: set[int] = field(default_factory=set)
    awaited: set[int] = field(default_factory=set)
    tried_alone: bool = False
    tried_beside: bool = False
    lost: list[SlotRefusal] = field(default_factory=list)
    migrants: dict[int, tuple[str, ...]] = field(default_factory=dict)
    elected: WorkerId | None = None
    undoes: WorkerId | None = None
    followers: set[int] = field(default_factory=set)
    due: bool = False
    overdue: bool = False
    in_turns: bool = False
    late: bool = False
    silent: set[int] = field(default_factory=set)
    condemned: dict[int, int] = field(default_factory=dict)
    questioned: set[int] = field(default_factory=set)
    reason: str = ""
    doubt: str = ""
    decision_tried: bool = False
    told: bool = False
    part: Part | None = None
    fresh: frozenset[int] = frozenset()
    leaving: frozenset[int] = frozenset()

    @property
    def snapshot(self) -> Snapshot | None:
        """The candidate's content."""
        return None if self.candidate is None else self.candidate.snapshot

    @property
    def is_roll(self) -> bool:
        """Whether other processes are to serve it."""
        return self.part is not None or (self.snapshot is not None and self.snapshot.is_roll)

    @property
    def rolled(self) -> int:
        """The epoch whose roll makes, or made, those who are to serve it."""
        return self.epoch if self.snapshot is None else self.snapshot.rolled

    @property
    def goes_back(self) -> bool:
        """Whether it brings earlier content back."""
        return self.request is not None and self.request.action is Action.ROLLBACK

    @property
    def rescues(self) -> bool:
        """Whether it goes back because all workers crash."""
        return self.goes_back and self.origin is not None and self.origin.trigger is Trigger.RESCUE

    @property
    def removes(self) -> bool:
        """Whether it takes a plugin out of what serves, whatever lies on disk."""
        return self.request is not None and isinstance(self.request.edit, RemovePlugin)

    @property
    def summary(self) -> tuple[str, ...]:
        """What changes."""
        return () if self.candidate is None else self.candidate.summary

    @property
    def origin(self) -> Origin | None:
        """Who asked for it."""
        return None if self.request is None else self.request.origin


def refusal_of(member: Member, fault: Fault, summary: str) -> SlotRefusal:
    """What is known of a worker that could not speak for itself, but in what it left behind."""
    refusal = member.refusal or Refusal(Stage.PREPARE, fault, summary, traceback=member.stacks)
    return SlotRefusal(member.worker.slot, member.pid, refusal)


def headline(refusals: Iterable[SlotRefusal]) -> str:
    """The first "no" in one line."""
    return next((f"{_who(each)}{each.refusal.line}" for each in refusals), "refused")


def _who(refused: SlotRefusal) -> str:
    if refused.slot >= 0:
        return f"slot {refused.slot}: "
    return "preflight: " if refused.refusal.stage is Stage.PREFLIGHT else ""
