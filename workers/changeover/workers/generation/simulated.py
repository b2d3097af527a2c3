"""A worker without processes and sockets: cell, switch, pipelines and leases as in a real one."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from changeover.workers.generation.remnants import Leak
from changeover.workers.generation.switch import Generation, Switch
from changeover.workers.generation.workshop import Workshop
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import Snapshot, UnitKey
from changeover.workers.serving.arrival import Made
from changeover.workers.serving.contract import Headers, Request
from changeover.workers.serving.dispatch import LiveDispatcher
from changeover.workers.serving.exchange import RawHeaders, sized
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.offering import Extensions, here


class Exchange(Made):
    """One request whose body is at hand, answered into memory.

    Attributes:
        status: Of the response; 0 until its head was sent.
        fields: Of the response.
        body: Of the response, as far as it was sent.
    """

    def __init__(self, method: str, target: str, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
        path, _, query = target.partition("?")
        self._unread = [body] if body else []
        self._over = asyncio.Event()
        self._broken = False
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.request = Request(
            method.upper(),
            unquote(path),
            raw_path=path.encode(),
            query=query.encode(),
            headers=Headers(fields),
            client=("127.0.0.1", 1),
            server=("testserver", 80),
            receive=self.receive,
        )

    @property
    def connected(self) -> bool:
        return not self._over.is_set()

    @property
    def outcome(self) -> HandshakeOutcome:
        return HandshakeOutcome()

    async def receive(self) -> bytes | None:
        return self._unread.pop() if self._unread else None

    async def wait_disconnected(self) -> None:
        await self._over.wait()

    def start(self, status: int, headers: RawHeaders) -> None:
        self.status, self.fields = status, list(headers)

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self.start(status, sized(self.request.method, status, headers, body))
        self.write(body)
        self.end()

    def write(self, data: bytes) -> None:
        self.body += data

    def pressed(self) -> bool:
        return True

    def backed_up(self) -> bool:
        return False

    @property
    def untaken(self) -> int:
        return 0

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def end(self) -> None:
        self._over.set()

    def end_after(self, data: bytes) -> None:
        if data:
            self.write(data)
        self.end()

    def end_with(self, trailers: RawHeaders) -> None:
        self.end()

    def abort(self, status: int = 500) -> None:
        self._broken = True
        self._over.set()

    async def wait_answered(self) -> None:
        """Wait for the end of the response.

        Raises:
            ConnectionError: It broke off.
        """
        await self._over.wait()
        if self._broken:
            raise ConnectionError(f"{self.request.method} {self.request.path}: the response broke off")


class _Cell:
    """A commit cell of one process."""

    def __init__(self) -> None:
        self.epoch = 0

    def read(self) -> int:
        return self.epoch


class Simulation:
    """One worker that is its own supervisor: commits what it prepared, releases what it drained.

    Its methods belong to one loop's thread, except the constructor.

    Args:
        store: The artifact store.
        deadline: Seconds for one hook.
        on_degraded: Told of failures that come too late to refuse.
    """

    def __init__(self, store: Path, deadline: float, on_degraded: Callable[[Refusal], None]) -> None:
        self._cell = _Cell()
        self._workshop = Workshop(store, hook_deadline=deadline, on_drained=self._drained, on_degraded=on_degraded)
        self._switch = Switch(self._cell, self._workshop.activated)
        self._dispatcher = LiveDispatcher(self._switch, worker=0, epoch_header=True)
        self._releases: set[asyncio.Task[tuple[UnitKey, ...]]] = set()

    @property
    def epoch(self) -> int:
        """The generation that serves."""
        return self._switch.current.epoch

    @property
    def snapshot(self) -> Snapshot:
        """What serves."""
        return self._switch.current.snapshot

    @property
    def extensions(self) -> Extensions:
        """What is offered at extension points by what serves."""
        return self._switch.current.extensions

    @property
    def leases(self) -> int:
        """How many leases are held, on whichever generation."""
        return len(self._workshop.leases())

    async def swap(self, snapshot: Snapshot) -> Refusal | None:
        """Prepare, commit and activate; a refusal leaves everything as it was."""
        built = await self._workshop.build(snapshot)
        if isinstance(built, Refusal):
            return built
        if (refusal := await self._migrated(built)) is not None:
            return refusal
        old = self._switch.current
        self._switch.prepared = built
        self._cell.epoch = snapshot.epoch
        self._switch.admit()
        await self._workshop.after_activation(old, built)
        return None

    async def _migrated(self, built: Generation) -> Refusal | None:
        refusal = await self._workshop.migrations.migrate(built.epoch)
        if refusal is not None:
            await self._workshop.migrations.unmigrate(built.epoch)
            await self._workshop.discard(built)
        return refusal

    def _drained(self, units: tuple[UnitKey, ...]) -> None:
        task = asyncio.get_running_loop().create_task(self._workshop.release(units))
        self._releases.add(task)
        task.add_done_callback(self._releases.discard)

    async def answer(self, exchange: Exchange) -> None:
        """Lead a request through its pipeline and wait for the end of its response."""
        if not self._dispatcher.dispatch(exchange):
            raise AssertionError("bug: the committed epoch is not served")
        await exchange.wait_answered()

    async def leaks(self) -> list[Leak]:
        """Wait for what is being released, and say what of it is still alive."""
        await self._settle()
        return self._workshop.leaks()

    async def close(self) -> None:
        """End everything."""
        await self._workshop.close()
        await self._settle()
        here.leave()

    async def _settle(self) -> None:
        await asyncio.sleep(0)
        while self._releases:
            await asyncio.wait(self._releases)
