"""One worker's machine on a bench: a test says what happens, and sees what is wanted."""

from typing import TypeVar

import msgspec

from changeover.workers.participant import effects, events, tenure
from changeover.workers.participant.effects import Effect
from changeover.workers.participant.events import Event
from changeover.workers.participant.machine import Identity, Machine, Patience
from changeover.workers.protocol import messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import Phase, SupervisorMessage, WorkerMessage
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKey, UnitKind, UnitRef

E = TypeVar("E", bound=Effect)
M = TypeVar("M", bound=WorkerMessage)

JOURNAL = "journal"
WHO = Identity(WorkerId(1, 0, 1_000_001), "nonce", 4121, JOURNAL, 1)
PATIENCE = Patience(hello=1.0, silence=3.5, orphan=60.0)


def snapshot(epoch: int, rolled: int = 0) -> Snapshot:
    """A generation of one plugin, which every epoch changes."""
    plugin = UnitKey(UnitRef(UnitKind.PLUGIN, "pricing"), f"pricing{epoch}", epoch)
    return Snapshot(epoch, f"digest{epoch}", (PluginSpec(plugin, "1", artifact=plugin.digest),), rolled=rolled)


class Bench:
    """A worker's machine; everything that the shell does is done by the test.

    Attributes:
        wanted: Every effect since the last `forget`.
        seq: Place of the last broadcast.
    """

    def __init__(self, rolled: int = 0, part: int = 0, patience: Patience = PATIENCE) -> None:
        self.machine = Machine(msgspec.structs.replace(WHO, rolled=rolled, part=part), patience)
        self.wanted: list[Effect] = []
        self.seq = 0
        self.feed(events.LinkUp())

    def feed(self, *happened: Event) -> None:
        """Let things happen."""
        for event in happened:
            self.wanted.extend(self.machine.handle(event, 0.0))

    def forget(self) -> None:
        """Look only at what is wanted from here on."""
        self.wanted.clear()

    def all(self, kind: type[E]) -> list[E]:
        """Every effect of a kind."""
        return [effect for effect in self.wanted if isinstance(effect, kind)]

    def said(self, kind: type[M]) -> list[M]:
        """Every report of a kind."""
        return [effect.message for effect in self.all(effects.Send) if isinstance(effect.message, kind)]

    def building(self) -> list[int]:
        """Epochs that were to be built."""
        return [effect.snapshot.epoch for effect in self.all(effects.Build)]

    # ---- what the supervisor says ----

    def hear(self, message: SupervisorMessage) -> None:
        """Let a message arrive."""
        self.feed(events.Received(message))

    def next(self) -> int:
        """Take the next place in the order of broadcasts."""
        self.seq += 1
        return self.seq

    def welcome(
        self,
        current: int | None,
        candidate: int | None = None,
        decided: int = 0,
        seq: int | None = None,
        term: int = 1,
        rolled: int = 0,
        candidate_rolled: int = 0,
        successors: tuple[WorkerId, ...] = (),
        away: float = 0.0,
    ) -> None:
        """Say all that there is to know."""
        self.hear(
            messages.Welcome(
                Stamp(JOURNAL, term, current or 0),
                self.seq if seq is None else seq,
                Phase.PREPARING if candidate else Phase.IDLE,
                None if current is None else snapshot(current, rolled),
                None if candidate is None else snapshot(candidate, candidate_rolled),
                decided,
                successors,
                away,
            )
        )

    def prepare(self, epoch: int, rolled: int = 0, successors: tuple[WorkerId, ...] = ()) -> None:
        """Ask to prepare, or, when a later roll made the processes that can serve it, to agree."""
        stamp = Stamp(JOURNAL, 1, epoch)
        self.hear(messages.Prepare(stamp, self.next(), snapshot(epoch, rolled), 60.0, successors))

    def commit(self, epoch: int, *successors: WorkerId) -> None:
        """Say that an epoch is committed."""
        self.hear(messages.Commit(Stamp(JOURNAL, 1, epoch), self.next(), successors))

    def hand_over(self, *successors: WorkerId) -> None:
        """Say that the worker is to leave."""
        self.hear(messages.HandOver(Stamp(JOURNAL, 1, self.machine.serving), messages.UNORDERED, successors))

    def agree(self, epoch: int, *successors: WorkerId) -> None:
        """Agree to be replaced."""
        self.prepare(epoch, epoch, successors)
        self.feed(events.Connected(epoch))
        self.forget()

    @property
    def tenure(self) -> tenure.State:
        """Whether it keeps its place."""
        return self.machine.tenure

    def abort(self, epoch: int) -> None:
        """Say that an epoch is not and will not be committed."""
        self.hear(messages.Abort(Stamp(JOURNAL, 1, epoch), self.next(), "refused elsewhere"))

    def pulse(self, epoch: int, term: int = 1, parts: tuple[int, ...] = (), away: float = 0.0) -> None:
        """Let the supervisor's heart beat."""
        self.hear(messages.Pulse(Stamp(JOURNAL, term, epoch), self.next(), Phase.IDLE, parts, away))

    def retire(self, *units: UnitKey) -> None:
        """Say that units are drained everywhere."""
        self.hear(messages.Retire(Stamp(JOURNAL, 1, self.machine.serving), messages.UNORDERED, units))

    # ---- what the shell says ----

    def built(self, epoch: int) -> None:
        """A build is done."""
        self.feed(events.Built(epoch, 0.2))

    def activated(self, epoch: int) -> None:
        """The pointer moved."""
        self.feed(events.Activated(epoch, 1))

    def serve(self, epoch: int) -> None:
        """Join and serve."""
        self.welcome(epoch)
        self.built(epoch)
        self.activated(epoch)
        self.forget()
