"""What a service listens on through cutovers: added beside what serves, removed once nobody comes any more.

A descriptor reaches a worker through its zygote, so other addresses need other processes: the zygote of a roll inherits
what is bound until then. Its workers accept nothing before the commit; from there on they also empty what was removed.
"""

import asyncio
import itertools
import logging
import os
import select
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from changeover.supervisor.core.records.record import Record
from changeover.supervisor.errors import SupervisorError
from changeover.supervisor.process.address import Address, UnixAddress, parse_address
from changeover.supervisor.process.arrivals import end_all_arrivals
from changeover.supervisor.process.listeners import BoundListener, Listeners
from changeover.supervisor.telemetry.shell import AddressClosed, AddressesAmiss, AddressesChanged
from changeover.workers.protocol.belongings import Listener

logger = logging.getLogger("changeover")

LOOK = 0.05
"""Seconds between two looks at the queue of a removed address."""
MOST = 60.0
"""Seconds beyond its linger after which a removed address is closed, whoever waits there."""
HANDSHAKES = 1.0
"""Seconds that handshakes under way at a removed address have to complete."""
LAST = 5.0
"""Seconds that workers have to accept what came last."""

Bind = Callable[[Sequence[Address], Sequence[Address]], Listeners]
"""Takes what to listen on, and what is listened on already. Blocks."""
Keep = Callable[[Iterable[BoundListener], Iterable[BoundListener]], None]
"""Hears what was added, and what was removed and closed."""


class BindOverdue(SupervisorError):
    """Addresses could not be bound in time: a name is still being looked up."""

    def __init__(self, addresses: Sequence[Address], seconds: float) -> None:
        names = ", ".join(map(str, addresses))
        super().__init__(f"cannot listen on {names} within {seconds:g} s; write addresses instead of names")


@dataclass(eq=False, slots=True)
class BoundAddress:
    """One configured address, and the sockets that it led to.

    Attributes:
        address: As it is configured.
        listeners: A name may resolve to several.
        closing: Whether arrivals there are being ended for good.
        served: Whether anybody who serves has it, or had it once.
    """

    address: Address
    listeners: tuple[BoundListener, ...]
    closing: bool = False
    served: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether we bound it; otherwise it is only lent to us."""
        return all(listener.is_ours for listener in self.listeners)

    def shown(self) -> Iterator[str]:
        """As people see it."""
        return (listener.shown for listener in self.listeners)

    def waited_at(self) -> bool:
        """Whether a connection waits to be accepted."""
        queues = select.poll()
        for listener in self.listeners:
            queues.register(listener.sock, select.POLLIN)
        return bool(queues.poll(0))

    def end(self) -> None:
        """Listen there no more."""
        for listener in self.listeners:
            listener.end()


class Addresses:
    """Every listening socket of a service.

    Args:
        loop: The supervisor's loop.
        listeners: What is listened on from the start.
        bind: Binds further addresses, in a thread.
        linger: Seconds for which nobody must have waited at a removed address before it is closed.
        keep: Has what is ours kept for our next life.
        tell: Takes records.
        unserved: Numbers of the sockets among `listeners` that nobody accepts on who serves.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listeners: Listeners,
        bind: Bind,
        linger: float,
        keep: Keep,
        tell: Callable[[Record], None],
        unserved: Collection[int] = (),
    ) -> None:
        self._loop = loop
        self._bind = bind
        self._linger = linger
        self._keep = keep
        self._tell = tell
        self._serving = _places(listeners)
        for place in self._serving:
            place.served = any(listener.number not in unserved for listener in place.listeners)
        self._removed: dict[BoundAddress, asyncio.Task[None]] = {}
        self._candidate: tuple[BoundAddress, ...] = ()
        self._epoch = 0
        self._attempt = 0

    # ---- what is there ----

    def shown(self) -> tuple[str, ...]:
        """Where what serves is, as people see it."""
        return _shown(self._serving)

    def leaving(self) -> tuple[str, ...]:
        """What was removed and is not closed yet, as people see it."""
        return _shown(self._removed)

    def all(self) -> Listeners:
        """Every socket that is open."""
        return Listeners([listener for place in self._places() for listener in place.listeners])

    def for_workers(self, rolled: int) -> tuple[Listener, ...]:
        """What the workers of a roll accept on, at the epoch `rolled`: for their zygote, which starts now."""
        serving = tuple(place for place in self._serving if place.is_ours or place in self._candidate)
        chosen = (*self._candidate, *serving) if rolled == self._epoch else self._serving
        wanted = dict.fromkeys((*chosen, *self._removed))
        return tuple(each.for_worker() for place in wanted for each in place.listeners)

    def among(self, inherited: Iterable[Listener], rolled: int) -> tuple[Listener, ...]:
        """What a worker of a roll accepts on, which is made now, of what its zygote inherited earlier."""
        wanted = {(each.asked, each.address) for each in self.for_workers(rolled)}
        return tuple(each for each in inherited if (each.asked, each.address) in wanted)

    # ---- what is wanted ----

    async def prepare(self, epoch: int, addresses: Sequence[str], deadline: float) -> None:
        """Bind what a candidate adds; whoever comes there waits until it serves.

        Args:
            epoch: The candidate.
            addresses: All that it is to be served at.
            deadline: Seconds from now.

        Raises:
            SupervisorError: One cannot be had; none is bound then.
        """
        self.drop()
        attempt = self._attempt
        wanted = [parse_address(text) for text in addresses]
        await self._until_closed({str(address) for address in wanted}, deadline)
        if attempt != self._attempt:
            return
        there, missing = _matched(wanted, self._places())
        for place in there.values():
            self._hold(place)
        bound = await self._bound(missing, deadline)
        if attempt != self._attempt:
            bound.close()
            return
        fresh = iter(_places(bound))
        self._candidate = tuple(there.get(index) or next(fresh) for index in range(len(wanted)))
        self._epoch = epoch

    def drop(self) -> None:
        """Close what was bound for a candidate, or is being bound: it will not serve."""
        self._attempt += 1
        for place in self._candidate:
            if place not in self._serving and place not in self._removed:
                place.end()
        self._candidate, self._epoch = (), 0
        self._linger_all()

    def serve(self, addresses: Sequence[str]) -> None:
        """What serves is at these addresses from now on; what else there is goes once nobody comes any more."""
        wanted = [parse_address(text) for text in addresses]
        there, missing = _matched(wanted, self._candidate or self._serving)
        if missing:
            self._tell(AddressesAmiss(tuple(addresses), self.shown()))
            return
        before, self._serving = self._serving, tuple(there.values())
        self._candidate, self._epoch = (), 0
        for place, address in zip(self._serving, wanted, strict=True):
            _give_mode(place, address)
            place.served = True
        added = tuple(place for place in self._serving if place not in before and place not in self._removed)
        removed = tuple(place for place in before if place not in self._serving)
        self._take_back()
        for place in removed:
            self._let_go(place)
        self._keep((each for place in added for each in place.listeners), ())
        left = tuple(place for place in removed if place.served)
        if left or not set(before) >= set(self._serving):
            self._tell(AddressesChanged(self.shown(), _shown(added), _shown(left), self._linger))
        self._linger_all()

    def stop(self) -> None:
        """Bind and close nothing more: the service ends."""
        self._attempt += 1
        for task in self._removed.values():
            task.cancel()

    # ---- what is removed ----

    def _let_go(self, place: BoundAddress) -> None:
        if not place.is_ours:
            place.end()
            self._tell_closed(place, waiting=False)
        elif place.served:
            self._begin_closing(place)
        else:
            self._close(place, waiting=place.waited_at())

    def _begin_closing(self, place: BoundAddress) -> None:
        task = self._removed[place] = self._loop.create_task(self._close_when_quiet(place))
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            what = {"message": "a removed address could not be closed", "exception": error, "task": task}
            self._loop.call_exception_handler(what)

    def _hold(self, place: BoundAddress) -> None:
        """A candidate wants it: it stays open until that is decided."""
        if (task := self._removed.get(place)) is not None:
            task.cancel()

    def _linger_all(self) -> None:
        """Go on with closing what no candidate wants any more."""
        for place, task in tuple(self._removed.items()):
            if task.cancelled() or task.cancelling():
                self._begin_closing(place)

    def _take_back(self) -> None:
        """What serves again is not removed."""
        for place in [place for place in self._removed if place in self._serving]:
            self._removed.pop(place).cancel()

    async def _close_when_quiet(self, place: BoundAddress) -> None:
        quiet_since = self._loop.time()
        until = quiet_since + self._linger + MOST
        while self._loop.time() < min(until, quiet_since + self._linger):
            await asyncio.sleep(min(LOOK, self._linger))
            if place.waited_at():
                quiet_since = self._loop.time()
        place.closing = True
        await end_all_arrivals(place.listeners, HANDSHAKES)
        last, waiting = self._loop.time() + LAST, place.waited_at()
        while waiting and self._loop.time() < last:
            await asyncio.sleep(LOOK)
            waiting = place.waited_at()
        del self._removed[place]
        self._close(place, waiting=waiting)

    def _close(self, place: BoundAddress, *, waiting: bool) -> None:
        self._keep((), place.listeners)
        place.end()
        self._tell_closed(place, waiting=waiting)

    async def _until_closed(self, names: set[str], deadline: float) -> None:
        """What is being closed for good cannot be had back: it is waited for, and bound anew."""
        closing = [task for place, task in self._removed.items() if place.closing and str(place.address) in names]
        if closing:
            await asyncio.wait(closing, timeout=deadline)

    def _tell_closed(self, place: BoundAddress, *, waiting: bool) -> None:
        for shown in place.shown():
            self._tell(AddressClosed(shown, waiting))

    # ---- inside ----

    def _places(self) -> tuple[BoundAddress, ...]:
        return tuple(dict.fromkeys((*self._serving, *self._candidate, *self._removed)))

    async def _bound(self, missing: Sequence[Address], deadline: float) -> Listeners:
        if not missing:
            return Listeners(())
        beside = [place.address for place in self._places()]
        binding = self._loop.create_task(asyncio.to_thread(self._bind, missing, beside))
        try:
            await asyncio.wait({binding}, timeout=deadline)
        finally:
            if not binding.done():
                binding.add_done_callback(_close_late)
        if not binding.done():
            raise BindOverdue(missing, deadline)
        return binding.result()


def _close_late(binding: asyncio.Task[Listeners]) -> None:
    if not binding.cancelled() and binding.exception() is None:
        binding.result().close()


def _places(listeners: Listeners) -> tuple[BoundAddress, ...]:
    """What was bound for one address is one place, also where another address reads the same."""
    groups = itertools.groupby(listeners.bound, key=lambda listener: id(listener.address))
    return tuple(BoundAddress(found[0].address, found) for found in (tuple(group) for _, group in groups))


def _matched(
    wanted: Sequence[Address], places: Iterable[BoundAddress]
) -> tuple[dict[int, BoundAddress], list[Address]]:
    """Find the place of each address, by its position; and those that have none yet."""
    free = [place for place in places if not place.closing]
    there: dict[int, BoundAddress] = {}
    for index, address in enumerate(wanted):
        place = next((place for place in free if str(place.address) == str(address)), None)
        if place is not None:
            free.remove(place)
            there[index] = place
    return there, [address for index, address in enumerate(wanted) if index not in there]


def _shown(places: Iterable[BoundAddress]) -> tuple[str, ...]:
    return tuple(shown for place in places for shown in place.shown())


def _give_mode(place: BoundAddress, address: Address) -> None:
    """A unix socket that stays may have other permissions from now on."""
    if isinstance(address, UnixAddress) and place.address != address:
        try:
            os.chmod(address.path, address.mode)
        except OSError as error:
            logger.warning("%s keeps its permissions: %s", address, error.strerror)
    place.address = address
