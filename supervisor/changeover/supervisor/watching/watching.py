"""Feeds lookouts with what is seen, and asks for the cutovers that they want. Decides nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec

from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.outcome import CutoverRequest, Outcome
from changeover.supervisor.core.quarantine import passing
from changeover.supervisor.core.records.cutover import CutoverAborted, CutoverCompleted
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.request import NothingChanged, RollNeeded
from changeover.supervisor.telemetry.shell import WatchingBegan, WatchingBlind
from changeover.supervisor.unanswerable import Stopping
from changeover.supervisor.watching.lookout import Ask, Lookout, Wait
from changeover.supervisor.watching.notices import Notices
from changeover.supervisor.watching.places import Plan
from changeover.supervisor.watching.sight import Sight, look
from changeover.workers.protocol.reload import ON_CHANGE, Reload

T = TypeVar("T")
Request = Callable[[CutoverRequest], Awaitable[Outcome]]


class Beginning(msgspec.Struct, frozen=True):
    """What was there before anything was read that is to be served.

    Attributes:
        read_plan: Reads what the settings want now, None when they are wrong. Blocks on the disk.
        plan: What they wanted then.
        sight: What was seen then.
    """

    read_plan: Callable[[], Plan | None]
    plan: Plan
    sight: Sight


def begin(read_plan: Callable[[], Plan | None]) -> Beginning:
    """Look once, before what lies there is read: whatever changes from here on is seen. Blocks on the disk."""
    plan = read_plan() or Plan()
    return Beginning(read_plan, plan, look(plan.places))


class Watching:
    """Takes changes without being asked, as the settings want it.

    Args:
        loop: The supervisor's loop.
        beginning: What was seen before anything was read that is to be served.
        request: Asks for a cutover.
        tell: Takes records.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        beginning: Beginning,
        request: Request,
        tell: Callable[[Record], None],
    ) -> None:
        self._loop = loop
        self._beginning = beginning
        self._request = request
        self._tell = tell
        self._plan = Plan()
        self._closed = False
        self._reason = ""
        self._lookouts: dict[Reload, Lookout] = {}
        self._notices: Notices | None = None
        self._timers: dict[Reload, asyncio.TimerHandle] = {}
        self._rounds: dict[Reload, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Take whatever changed since the beginning, and what changes from here on."""
        plan, files = self._beginning.plan, self._beginning.sight.files
        self._lookouts = {policy: Lookout(files) for policy in plan.policies}
        self._follow(plan)

    def hear(self, record: Record) -> None:
        """Take note of how cutovers ended that somebody else asked for."""
        match record:
            case CutoverAborted(refusals=refusals) if refusals and passing(refusals):
                for policy, lookout in self._lookouts.items():
                    self._perform(policy, lookout, lookout.unsettled())
            case CutoverCompleted() | NothingChanged() | RollNeeded() if not self._closed:
                # The settings were read anew: they may want something else done.
                self._start(self._replan())

    def due(self) -> dict[str, float]:
        """Policy, as people write it -> seconds until it is looked at next what is taken so; without what is told."""
        now, handles = self._loop.time(), (*self._timers.items(), *self._rounds.items())
        waits = [(str(policy), handle.when() - now) for policy, handle in handles if handle.when() > now]
        return dict(sorted(waits, reverse=True))

    def close(self) -> None:
        """Ask for nothing more."""
        self._closed = True
        self._let_go()
        for policy in tuple(self._timers):
            self._forget(policy)
        for task in self._tasks:
            task.cancel()

    # ---- what is to be done ----

    async def _replan(self) -> None:
        plan = await asyncio.to_thread(self._beginning.read_plan)
        if plan is not None and plan != self._plan and not self._closed:
            # Nobody looked for a policy that is new: what is seen first is asked for.
            self._lookouts = {policy: self._lookouts.get(policy) or Lookout(None) for policy in plan.policies}
            for policy in self._timers.keys() - plan.policies:
                self._forget(policy)
            self._let_go()
            self._follow(plan)

    def _follow(self, plan: Plan) -> None:
        before, self._plan = self._plan, plan
        if plan.watches:
            seen, blind = partial(self._in_loop, self._noticed), partial(self._in_loop, self._blind)
            self._notices = Notices(plan.places, plan.rescan, seen, blind)
            self._notices.start()
        for policy in plan.policies - {ON_CHANGE}:
            self._set_round(policy, self._loop.time() + policy.seconds)
        if plan.policies != before.policies:
            self._tell(_began(plan))

    def _let_go(self) -> None:
        if self._notices is not None:
            self._notices.close()
            self._notices, self._reason = None, ""
        for handle in self._rounds.values():
            handle.cancel()
        self._rounds.clear()

    # ---- what is seen ----

    def _in_loop(self, take: Callable[[Notices, T], None], notices: Notices, told: T) -> None:
        """Hand on what the thread of `notices` tells; a loop that has ended wants nothing more."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(take, notices, told)

    def _noticed(self, notices: Notices, sight: Sight) -> None:
        if notices is self._notices:
            self._see(ON_CHANGE, sight)

    def _blind(self, notices: Notices, reason: str) -> None:
        if notices is self._notices and reason != self._reason:
            self._reason = reason
            self._tell(WatchingBlind(reason, self._plan.rescan) if reason else _began(self._plan))

    def _set_round(self, policy: Reload, due: float) -> None:
        self._rounds[policy] = self._loop.call_at(due, self._go_round, policy, due)

    def _go_round(self, policy: Reload, due: float) -> None:
        # The next one is due so long after this one was, and none of those that were slept through is made up for.
        late = self._loop.time() - due
        self._set_round(policy, due + policy.seconds * (1 + late // policy.seconds))
        self._start(self._look(policy))

    async def _look(self, policy: Reload) -> None:
        self._see(policy, await asyncio.to_thread(look, self._plan.places))

    def _see(self, policy: Reload, sight: Sight) -> None:
        if (lookout := self._lookouts.get(policy)) is not None and not self._closed:
            self._perform(policy, lookout, lookout.seen(sight.files))

    # ---- what lookouts want ----

    def _perform(self, policy: Reload, lookout: Lookout, wanted: Ask | Wait | None) -> None:
        match wanted:
            case Ask(changed):
                self._forget(policy)
                self._start(self._ask(policy, lookout, changed))
            case Wait(seconds):
                self._forget(policy)
                self._timers[policy] = self._loop.call_later(seconds, self._due, policy, lookout)

    def _due(self, policy: Reload, lookout: Lookout) -> None:
        self._perform(policy, lookout, lookout.due())

    def _forget(self, policy: Reload) -> None:
        if (handle := self._timers.pop(policy, None)) is not None:
            handle.cancel()

    async def _ask(self, policy: Reload, lookout: Lookout, changed: tuple[str, ...]) -> None:
        trigger = Trigger.WATCH if policy == ON_CHANGE else Trigger.SCHEDULE
        places = self._plan.places
        origin, seen = Origin(trigger, label=places.named(changed)), {path: places.shown(path) for path in changed}
        ending: Outcome | None = None
        try:
            with suppress(Stopping):
                ending = await self._request(CutoverRequest(origin, policy=policy, seen=seen))
        finally:
            if self._lookouts.get(policy) is lookout and not self._closed:
                self._perform(policy, lookout, lookout.ended(ending))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "watching failed", "exception": error, "task": task})


def _began(plan: Plan) -> WatchingBegan:
    return WatchingBegan(tuple(sorted(map(str, plan.policies))))
