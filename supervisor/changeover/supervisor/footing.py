"""What a service stands on: its places, its addresses, and the pages that its processes share, made or inherited."""

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass

from changeover.supervisor.core.entries import Recovered
from changeover.supervisor.core.events import Booted, Child, ZygoteFound
from changeover.supervisor.host import Host
from changeover.supervisor.process.estate import Estate, FoundWorker
from changeover.supervisor.process.holders import age_of
from changeover.supervisor.process.listeners import Listeners
from changeover.supervisor.process.runtime_directory import RuntimeDirectory
from changeover.supervisor.unserved import latest_committed, unserved
from changeover.supervisor.upgrade.handed import Handed
from changeover.workers.generation.cell import CellWriter
from changeover.workers.protocol.belongings import Belongings, Listener
from changeover.workers.protocol.forking import Ready
from changeover.workers.runtime import counts


@dataclass(frozen=True, slots=True)
class Footing:
    """Everything that outlives a supervisor, as this one has it.

    Attributes:
        runtime: The runtime directory.
        estate: Who serves on since a former supervisor; empty in most starts.
        listeners: All that is listened on from the start.
        cell: The commit cell.
        counts: Descriptor of the page of connection counts.
        secret: What the nonces of workers are derived from.
        unserved: Numbers of the sockets among them that only processes of a candidate held.
        counted: What a former supervisor kept of what dead workers counted; empty for nothing.
    """

    runtime: RuntimeDirectory
    estate: Estate
    listeners: Listeners
    cell: CellWriter
    counts: int
    secret: str
    unserved: frozenset[int]
    counted: bytes = b""

    def belongings(self, listeners: tuple[Listener, ...]) -> Belongings:
        """What a process inherits that is to serve at `listeners`."""
        return Belongings(listeners, self.cell.fd, self.counts)

    def let_go(self, listeners: Listeners) -> None:
        """Close what is listened on, as `release` does."""
        release(listeners, self.runtime)

    def booted(self, recovered: Recovered, slots: int, listen: tuple[str, ...]) -> Booted:
        """The first event: what the journal says, and who serves on.

        Args:
            recovered: What the journal says.
            slots: How many workers are wanted.
            listen: What is listened on where nobody serves on.
        """
        estate = self.estate
        zygotes = tuple(_zygote(each.ready) for each in estate.zygotes)
        living = tuple(_child(each) for each in estate.workers)
        cohorts = [*(each.cohort for each in zygotes), *(each.worker.cohort for each in living)]
        listen = () if cohorts else listen
        return Booted(recovered, slots, self.secret, max(cohorts, default=0), zygotes, living, listen)


def _zygote(ready: Ready) -> ZygoteFound:
    return ZygoteFound(ready.cohort, ready.rolled, ready.imported)


def _child(found: FoundWorker) -> Child:
    told = found.told
    return Child(told.worker, told.pid, told.rolled, age_of(told.pid))


async def take_footing(
    host: Host,
    runtime: RuntimeDirectory,
    recovered: Recovered,
    handed: Handed | None,
    addresses: tuple[str, ...],
    stack: AsyncExitStack,
) -> Footing:
    """Find who serves on and take over what they hold, or make everything anew.

    Args:
        host: Takes addresses.
        runtime: Held.
        recovered: What the journal says.
        handed: What the program before handed over; None for the first one in this process.
        addresses: What to listen on where nobody serves on.
        stack: Takes what is to be let go of in the end.

    Raises:
        SupervisorError: Who serves on cannot be adopted, or something cannot be had.
    """
    links, held = ({}, None) if handed is None else (handed.zygotes, handed.belongings)
    estate = await asyncio.to_thread(runtime.find_estate, host.account, links, held)
    stack.callback(estate.close)
    runtime.refuse_foreign(estate, recovered.journal)
    secret = _secret(runtime, estate, handed)
    listeners = host.listen(addresses, estate.sockets)
    stack.callback(release, listeners, runtime)
    estate.let_go_of_sockets()
    cell = runtime.make_cell() if estate.cell is None else CellWriter(os.dup(estate.cell))
    stack.callback(cell.close)
    page = counts.create() if estate.counts is None else os.dup(estate.counts)
    stack.callback(os.close, page)
    counted = b"" if estate.empty and handed is None else runtime.read_counted()
    alone = unserved(estate.holders, latest_committed(recovered, cell.latest()))
    return Footing(runtime, estate, listeners, cell, page, secret, alone, counted)


def release(listeners: Listeners, runtime: RuntimeDirectory) -> None:
    """Close what is listened on; where somebody serves on, clients have to find the socket's file."""
    if runtime.is_lived_in():
        for listener in listeners.bound:
            listener.leave_file()
    listeners.close()


def _secret(runtime: RuntimeDirectory, estate: Estate, handed: Handed | None) -> str:
    if handed is not None and handed.secret:
        return handed.secret
    return runtime.make_secret() if estate.empty and handed is None else runtime.read_secret(estate)
