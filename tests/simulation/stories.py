"""A quiet world in which a test lets one thing go wrong at a chosen moment."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from changeover.supervisor.core import cutover
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.outcome import Action, CutoverRequest, Outcome
from changeover.workers.participant.machine import Identity
from tests.simulation.contents import Flaw
from tests.simulation.journal import Mood
from tests.simulation.plan import Plan
from tests.simulation.runner import unrest
from tests.simulation.trace import Trace
from tests.simulation.worker import Worker
from tests.simulation.world import World

LONG = 20.0
"""Seconds within which everything that a story waits for must have happened."""


class Story(World):
    """A service that runs well until the test says otherwise.

    Attributes:
        flawed_slots: Where a flaw of a content shows.
        stillborn: Where processes die before they introduce themselves.
    """

    def __init__(self, workers: int = 3, seed: int = 1, wave: int = 0) -> None:
        super().__init__(Random(seed), replace(Plan.quiet(workers), wave=wave), Trace(None))
        self.flawed_slots: frozenset[int] = frozenset(range(99))
        self.stillborn: frozenset[int] = frozenset()
        self.moods: list[Mood] = []
        self.journal.mood = lambda _: self.moods.pop(0) if self.moods else Mood.WELL

    def hits(self, worker: Worker, snapshot: object) -> bool:
        return worker.worker.slot in self.flawed_slots

    def begin_worker(self, identity: Identity) -> None:
        if identity.worker.slot not in self.stillborn:
            super().begin_worker(identity)
            return
        worker = Worker(identity, self.agenda, self.random, self.cell, self)
        self.workers.append(worker)
        self.agenda.after(0.9, lambda: self.die(worker, 1))

    # ---- what happens ----

    def come_up(self) -> None:
        """Start, and serve epoch 1 everywhere."""
        self.boot()
        self.until(lambda: unrest(self) is None, "the service is up")

    def reload(self, flaw: Flaw = Flaw.NONE, action: Action = Action.RELOAD, force: bool = False) -> int:
        """Edit what is on disk, and ask for it."""
        if action is Action.RELOAD:
            self.new_content(flaw)
        return self.ask_again(action, force)

    def roll(self, flaw: Flaw = Flaw.NONE) -> int:
        """Edit the application, and ask for it."""
        self.plan.rolls = 1.0
        ticket = self.reload(flaw)
        self.plan.rolls = 0.0
        return ticket

    def move(self, *listen: str) -> int:
        """Edit where the service listens, and ask for it."""
        self.listen = listen
        return self.ask_again()

    def ask_again(self, action: Action = Action.RELOAD, force: bool = False) -> int:
        """Ask for what is on disk, or for what was before."""
        return self.ask(CutoverRequest(Origin(Trigger.COMMAND), action, force=force))

    def outcome(self, ticket: int) -> Outcome:
        """How a request ended, once it has."""
        self.until(lambda: ticket in self.outcomes, f"request {ticket} has its outcome")
        return self.outcomes[ticket]

    def reach(self, state: cutover.State) -> None:
        """Go on until the cutover enters `state`."""
        self.until(lambda: self.state is state, f"the cutover is {state.value}")

    def rest(self) -> None:
        """Go on until nothing is left to do."""
        self.until(lambda: unrest(self) is None, "the world is at rest")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Go on, step by step and checking every promise, until `condition` holds."""
        end = self.agenda.now + LONG
        while not condition():
            if self.agenda.now >= end:
                raise AssertionError(f"not within {LONG:g} s: {what}: {unrest(self)}\n{self.trace}")
            self.agenda.step(end)
            self.check()

    # ---- what is seen ----

    @property
    def state(self) -> cutover.State:
        """Where the cutover stands."""
        return self.supervisor.machine.view().cutover

    @property
    def epochs(self) -> list[int]:
        """What each living worker serves."""
        return [worker.epoch for worker in self.living()]

    def worker(self, slot: int) -> Worker:
        """The living worker of a slot."""
        return next(worker for worker in self.living() if worker.worker.slot == slot)
