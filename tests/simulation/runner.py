"""One schedule after the other: a seed in, what it showed out."""

from dataclasses import dataclass
from random import Random

from changeover.supervisor.core import boot, child, cutover, zygote
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.events import Urgency
from changeover.supervisor.core.outcome import CutoverRequest
from changeover.supervisor.core.view import Overview
from tests.simulation.contents import Flaw
from tests.simulation.plan import Plan
from tests.simulation.trace import Trace
from tests.simulation.world import World

PATIENCE = 30.0
"""Seconds in which a healed world must come to rest."""


LEAST_FAULTS, LEAST_CUTOVERS, LEAST_DELIVERED = 1, 2, 100
"""What a schedule must have seen, so that it counts."""


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
    """What a schedule showed.

    Attributes:
        seed: Runs it again.
        stopped: Whether the service was stopped in the middle, so that the least numbers do not hold.
        workers: How many were wanted at first.
        cutovers: How many were asked for.
        committed: How many were committed, the first included.
        faults: How many struck inside a cutover.
        delivered: Events that a machine handled.
        supervisors: How many supervisors there were.
    """

    seed: int
    stopped: bool
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
    workers, stopped = plan.workers, plan.stops is not None
    trace = Trace(keep)
    world = world_class(random, plan, trace)
    try:
        if plan.stops is None:
            _live(world, random, plan)
            _come_to_rest(world)
        else:
            _stop(world, random, plan.stops)
    except Exception as error:
        raise ScheduleFailed(seed, error, trace) from error
    return Result(
        seed,
        stopped,
        workers,
        world.requested,
        len(world.journal.committed_epochs),
        len(world.faults),
        world.delivered,
        world.journal.term,
    )


def _live(world: World, random: Random, plan: Plan) -> None:
    world.boot()
    world.agenda.after(0.2, world.watch_supervisor)
    for _ in range(plan.cutovers):
        world.agenda.after(random.uniform(0.4, plan.lasts - 0.4), world.edit_and_ask)
    world.run(plan.lasts)
    # A schedule in which chance let nothing go wrong goes on until something did.
    while len(world.faults) < LEAST_FAULTS or world.requested < LEAST_CUTOVERS or world.delivered < LEAST_DELIVERED:
        plan.fault = 1.0
        world.edit_and_ask()
        world.run(world.agenda.now + 1.0)


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
            world.migrations.check()
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
    if view.parted is not None:
        return f"some workers serve {view.parted}"
    if view.leftovers or view.unretired:
        return f"left over: {view.leftovers} of epochs {view.unretired}"
    return _restless_slot(world, view) or _restless_zygote(world, view) or _unanswered(world) or _restless_worker(world)


def _restless_slot(world: World, view: Overview) -> str | None:
    if len(view.slots) != world.wanted:
        return f"there are {len(view.slots)} slots instead of {world.wanted}"
    for slot in view.slots:
        if slot.state is not child.State.SERVING or slot.epoch != view.epoch:
            return f"slot {slot.slot} is {slot.state.value} on {slot.epoch}, committed is {view.epoch}"
    return None


def _restless_zygote(world: World, view: Overview) -> str | None:
    known = [each.cohort for each in view.zygotes if each.state in (zygote.State.READY, zygote.State.KEPT)]
    living = sorted(each.cohort for each in world.zygotes.values() if each.alive)
    ready = [each.state for each in view.zygotes].count(zygote.State.READY)
    if living != known or ready != 1:
        pictured = ", ".join(f"{each.cohort} {each.state.value}" for each in view.zygotes)
        return f"zygotes {living} live, the supervisor has {pictured}"
    return None


def _unanswered(world: World) -> str | None:
    mine = (ticket for ticket, asked in world.asked.items() if asked is world.supervisor)
    missing = [ticket for ticket in mine if ticket not in world.outcomes]
    return f"requests {missing} have no outcome" if missing else None


def _restless_worker(world: World) -> str | None:
    for worker in world.living():
        if worker.epoch != worker.word.read():
            return f"{worker.name} serves {worker.epoch}, the cell says {worker.word.read()}"
        if worker.resident != worker.switch.current.snapshot.keys():
            return f"{worker.name} holds more than it serves"
    return None


def _stop(world: World, random: Random, at: float) -> None:
    """A service that is stopped at any moment leaves nothing behind."""
    world.boot()
    for _ in range(2):
        world.agenda.after(random.uniform(0.1, 3.0), world.edit_and_ask)
    world.run(at)
    world.stopping = True
    if not world.supervisor.alive:
        world.boot()
    for _ in range(random.choice((1, 1, 2, 3, 4))):
        world.ask_to_stop(random.choice(tuple(Urgency)))
        world.run(world.agenda.now + random.uniform(0.0, 0.3))
    end = world.agenda.now + PATIENCE
    while world.agenda.now < end and (world.supervisor.alive or world.supervisor.exited is None):
        if not world.supervisor.alive:
            world.boot()
            world.ask_to_stop(Urgency.GRACEFUL)
        world.run(world.agenda.now + 0.25)
    world.run(world.agenda.now + 4.0)
    left = [worker.name for worker in world.living()]
    if world.supervisor.exited is None or left or any(zygote.alive for zygote in world.zygotes.values()):
        raise AssertionError(f"the end (exit {world.supervisor.exited}) left {left} behind")
