"""One schedule after the other: a seed in, what it showed out."""

from dataclasses import dataclass
from random import Random

from changeover.supervisor.core import boot, child, cutover, events
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.events import Urgency
from changeover.supervisor.core.outcome import CutoverRequest
from tests.simulation.contents import Flaw
from tests.simulation.plan import Plan
from tests.simulation.trace import Trace
from tests.simulation.world import World

PATIENCE = 30.0
"""Seconds in which a healed world must come to rest."""


class ScheduleFailed(AssertionError):
    """A schedule broke a promise, or did not come to rest.

    Attributes:
        seed: Runs it again.
    """

    def __init__(self, seed: int, error: BaseException, trace: Trace) -> None:
        self.seed = seed
        self.error = error
        super().__init__(f"seed {seed}: {error}\n--- what happened last ---\n{trace}")


@dataclass(frozen=True, slots=True)
class Result:
    """What a schedule showed."""

    seed: int
    workers: int
    cutovers: int
    committed: int
    faults: int
    delivered: int
    supervisors: int


def run(seed: int, world_class: type[World] = World, keep: int | None = 80) -> Result:
    """Run the schedule of `seed`.

    Raises:
        ScheduleFailed: A promise was broken, or the healed world did not come to rest.
    """
    random = Random(seed)
    plan = Plan.drawn(random)
    workers, cutovers = plan.workers, plan.cutovers
    trace = Trace(keep)
    world = world_class(random, plan, trace)
    try:
        _live(world, random, plan, cutovers)
        _come_to_rest(world)
        if plan.stops:
            _stop(world)
    except Exception as error:
        raise ScheduleFailed(seed, error, trace) from error
    return Result(
        seed,
        workers,
        world.requested,
        len(world.journal.committed_epochs),
        len(world.faults),
        world.delivered,
        world.journal.term,
    )


def _live(world: World, random: Random, plan: Plan, cutovers: int) -> None:
    world.boot()
    world.agenda.after(0.2, world.watch_supervisor)
    for _ in range(cutovers):
        world.agenda.after(random.uniform(0.4, plan.lasts - 0.4), world.edit_and_ask)
    world.run(plan.lasts)


def _come_to_rest(world: World) -> None:
    """A healed world serves what is committed everywhere, owes nobody an answer, and holds nothing old."""
    world.heal()
    world.new_content(Flaw.NONE)
    end = world.agenda.now + PATIENCE
    last: int | None = None
    why = "?"
    while world.agenda.now < end:
        world.run(world.agenda.now + 0.25)
        found = unrest(world)
        if found is None and last is not None:
            return
        why = found or ""
        if last is None and found is None:
            last = world.ask(CutoverRequest(Origin(Trigger.HUP)))
    raise AssertionError(f"the healed world does not come to rest: {why}")


def unrest(world: World) -> str | None:
    """Why the world is not at rest, None when it is."""
    if not world.supervisor.alive:
        return "there is no supervisor"
    view = world.supervisor.machine.view()
    if view.start is not boot.State.OPEN:
        return f"the start is {view.start.value}"
    if view.cutover is not cutover.State.IDLE or view.waiting:
        return f"a cutover is {view.cutover.value}, {view.waiting} wait"
    if len(view.slots) != world.wanted:
        return f"there are {len(view.slots)} slots instead of {world.wanted}"
    for slot in view.slots:
        if slot.state is not child.State.SERVING or slot.epoch != view.epoch:
            return f"slot {slot.slot} is {slot.state.value} on {slot.epoch}, committed is {view.epoch}"
    if view.leftovers or view.unretired:
        return f"left over: {view.leftovers} of epochs {view.unretired}"
    unanswered = [
        ticket for ticket, asked in world.asked.items() if asked is world.supervisor and ticket not in world.outcomes
    ]
    if unanswered:
        return f"requests {unanswered} have no outcome"
    for worker in world.living():
        if worker.epoch != world.cell.value or worker.resident != worker.switch.current.snapshot.keys():
            return f"{worker.name} is at {worker.epoch}, the cell at {world.cell.value}"
    return None


def _stop(world: World) -> None:
    """A service that is stopped leaves nothing behind."""
    world.stopping = True
    world.supervisor.feed(events.StopRequested(world.random.choice(tuple(Urgency))))
    if world.random.random() < 0.3:
        world.agenda.after(0.2, lambda: world.supervisor.feed(events.StopRequested(Urgency.GRACEFUL)))
    end = world.agenda.now + PATIENCE
    while world.agenda.now < end and world.supervisor.alive:
        world.run(world.agenda.now + 0.25)
    if world.supervisor.exited != 0 or any(True for _ in world.living()) or world.zygote.alive:
        raise AssertionError(f"the end left something behind (exit {world.supervisor.exited})")
