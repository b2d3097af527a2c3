"""Looks at everything that lives in a server: what the kernel says of its processes, and its workers of themselves."""

import asyncio
import time
from collections.abc import Iterable

import msgspec

from changeover.supervisor.api.started import Server
from changeover.supervisor.cli.diagnosis.measurements import Look, amounts
from changeover.supervisor.cli.diagnosis.probe import PATH, WorkerCensus
from changeover.supervisor.cli.tour.answer import Answer, NoResponse, read_answer
from changeover.supervisor.control import SlotState, StatusView
from changeover.supervisor.errors import SupervisorError
from changeover.supervisor.process.footprint import Footprint, footprint_of, parent_of
from changeover.supervisor.process.holders import count_tcp

ANSWER = 10.0
"""Seconds for one answer."""
CENSUS = 20.0
"""Seconds until every worker was asked."""
QUIET = 5.0
"""Seconds that connections have to be closed on both sides."""
PAUSE = 0.02
"""Seconds between two looks whether they are."""
OPEN = ("01", "08")
"""ESTABLISHED and CLOSE_WAIT, as the kernel numbers them."""


class Disturbed(SupervisorError):
    """The server did not stay as it was while it was looked at."""


class Observer:
    """Looks at one server while no client asks it anything.

    Args:
        server: The server, with an address on TCP.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        host, _, port = server.addresses[0].rpartition(":")
        self.address = (host, int(port))

    async def look(self, requests: int) -> Look:
        """Ask every worker that serves, and then look at all processes.

        Args:
            requests: How many requests were answered before.

        Raises:
            Disturbed: A worker did not answer, or ended.
        """
        status = await self._server.status()
        serving = frozenset(slot.pid for slot in status.staff if slot.state is SlotState.SERVING)
        workers = await self._censuses(serving)
        await self._quiet()
        return await asyncio.to_thread(_seen, requests, status, workers)

    async def ask(self, path: str) -> Answer:
        """One request on a connection of its own, which it offers to keep.

        Raises:
            TimeoutError: No answer within `ANSWER` seconds.
            OSError: The connection was not made, or ended.
            IncompleteReadError: It ended before the answer did.
            NoResponse: What came is no response.
        """
        host, port = self.address
        async with asyncio.timeout(ANSWER):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
                return await read_answer(reader)
            finally:
                writer.close()

    async def _censuses(self, pids: frozenset[int]) -> dict[int, WorkerCensus]:
        """Ask until each of them has answered: which one takes a connection is the kernel's choice."""
        found: dict[int, WorkerCensus] = {}
        try:
            async with asyncio.timeout(CENSUS):
                while missing := pids - found.keys():
                    answers = await asyncio.gather(*(self.ask(PATH) for _ in range(2 * len(missing))))
                    for census in map(_census, answers):
                        found[census.pid] = census
        except (OSError, asyncio.IncompleteReadError, NoResponse) as error:
            raise Disturbed(f"not every worker could be asked what lives in it: {error!r}") from error
        return {pid: found[pid] for pid in sorted(pids)}

    async def _quiet(self) -> None:
        """Return when no client's connection is open, or when some have stayed open: these are then counted."""
        end = time.monotonic() + QUIET
        ports = frozenset({self.address[1]})
        while any([await asyncio.to_thread(count_tcp, ports, state) for state in OPEN]):
            if time.monotonic() > end:
                return
            await asyncio.sleep(PAUSE)


def _census(answer: Answer) -> WorkerCensus:
    if answer.status != 200:
        raise Disturbed(f"the probe at {PATH} answered {answer.line}")
    return msgspec.json.decode(answer.body, type=WorkerCensus)


def _seen(requests: int, status: StatusView, workers: dict[int, WorkerCensus]) -> Look:
    try:
        zygotes = sorted({parent_of(pid) for pid in workers})
        return Look(
            requests,
            workers,
            amounts(_footprints(workers), workers.values()),
            amounts(_footprints([status.pid])),
            amounts(_footprints(zygotes)),
        )
    except (FileNotFoundError, ProcessLookupError) as error:
        raise Disturbed(f"a process ended while it was looked at: {error}") from error


def _footprints(pids: Iterable[int]) -> list[Footprint]:
    return [footprint_of(pid) for pid in pids]
