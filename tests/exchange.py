"""An exchange in memory, and what a test needs to drive requests through the read path without a socket."""

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from changeover.workers.protocol.snapshot import Route, UnitKey, UnitKind, UnitRef
from changeover.workers.serving.arrival import Made
from changeover.workers.serving.contract import Headers, Request
from changeover.workers.serving.dispatch import LiveDispatcher
from changeover.workers.serving.exchange import Disconnected, RawHeaders, Undone, sized
from changeover.workers.serving.handshake import NO_HANDSHAKE, HandshakeOutcome
from changeover.workers.serving.lease import UnitSet
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.router import ApplicationRouter, Target
from tests.waits import until


class MemoryExchange(Made):
    """One request and what was answered.

    Args:
        method: The method.
        target: Path and query.
        headers: Request fields.
        body: Pieces of the request body that are there already.
        complete: Whether the body ends after them.
        held: The whole body, which came with the head.
        window: Bytes that the client takes before `drain` waits for `take`.
        outcome: How its connection came about.
    """

    def __init__(
        self,
        method: str = "GET",
        target: str = "/",
        *,
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: Iterable[bytes] = (),
        complete: bool = True,
        held: bytes = b"",
        window: int = 1 << 30,
        outcome: HandshakeOutcome = NO_HANDSHAKE,
    ) -> None:
        path, _, query = target.partition("?")
        body = tuple(body)
        self._outcome = outcome
        self._request = Request(
            method,
            path,
            raw_path=path.encode(),
            query=query.encode(),
            headers=Headers(list(headers)),
            scheme=outcome.scheme,
            client=("192.0.2.1", 50000),
            server=("127.0.0.1", 8000),
            receive=self.receive if body or not complete else None,
        )
        if held:
            self._request.held_body = held
        self._body: deque[bytes | None] = deque([*body, *([None] if complete else [])])
        self._arrived = asyncio.Event()
        self._over = asyncio.Event()
        self._taken = asyncio.Event()
        self._window = window
        self._unread = 0
        self.connected_ = True
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.trailers: list[tuple[bytes, bytes]] = []
        self.ended = False
        self.aborted = False

    @property
    def request(self) -> Request:
        return self._request

    @property
    def connected(self) -> bool:
        return self.connected_

    @property
    def outcome(self) -> HandshakeOutcome:
        return self._outcome

    async def receive(self) -> bytes | None:
        while not self._body:
            if not self.connected_:
                raise Disconnected("the client is gone")
            self._arrived.clear()
            await self._arrived.wait()
        piece = self._body.popleft()
        if piece is None:
            self._body.append(None)
        return piece

    async def wait_disconnected(self) -> None:
        await self._over.wait()

    def start(self, status: int, headers: RawHeaders) -> None:
        assert self.status == 0, "the head was sent twice"
        for name, value in headers:
            if b"\n" in value or b"\r" in value:
                raise ValueError(f"{name!r}: {value!r}")
        if self.connected_:
            self.status = status
            self.fields = [(name.lower(), value) for name, value in headers]

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        self.start(status, sized(self.request.method, status, headers, body))
        self.write(body)
        self.end()

    def write(self, data: bytes) -> None:
        assert type(data) is bytes
        assert not self.ended, "a piece after the end"
        if self.connected_:
            assert self.status, "a piece before the head"
            self.pieces.append(data)
            self._unread += len(data)

    def pressed(self) -> bool:
        return self.backed_up()

    def backed_up(self) -> bool:
        return self._unread > self._window and self.connected_

    @property
    def untaken(self) -> int:
        return self._unread

    async def drain(self) -> None:
        while self._unread > self._window and self.connected_:
            self._taken.clear()
            await self._taken.wait()

    def end(self) -> None:
        assert not self.ended, "ended twice"
        self.ended = True
        self._over.set()

    def end_after(self, data: bytes) -> None:
        if data:
            self.write(data)
        self.end()

    def end_with(self, trailers: RawHeaders) -> None:
        self.trailers = list(trailers)
        self.end()

    def abort(self, status: int = 500) -> Undone | None:
        if self.connected_ and not self.ended:
            self.aborted = True
            self.hang_up()
        return Undone(self.status, 0) if self.aborted else None

    def arrive(self, *pieces: bytes | None) -> None:
        """More of the request body arrives; None ends it."""
        self._body.extend(pieces)
        self._arrived.set()

    def hang_up(self) -> None:
        """The client goes away."""
        self.connected_ = False
        for event in (self._over, self._arrived, self._taken):
            event.set()

    def take(self) -> None:
        """The client takes all that was written."""
        self._unread = 0
        self._taken.set()

    @property
    def settled(self) -> bool:
        """Whether the answer is complete or given up."""
        return self.ended or self.aborted or not self.connected_

    @property
    def body(self) -> bytes:
        """What was sent of the body so far."""
        return b"".join(self.pieces)

    @property
    def json(self) -> object:
        """The body, decoded."""
        return msgspec.json.decode(self.body)

    @property
    def headers(self) -> Headers:
        """The response's fields."""
        return Headers(self.fields)


@dataclass
class FixedGeneration:
    """A generation that is only an epoch and routes."""

    epoch: int
    router: ApplicationRouter


class FixedAdmission:
    """Admits to the generation that the test put there."""

    def __init__(self, generation: FixedGeneration | None) -> None:
        self.generation = generation

    def admit(self) -> FixedGeneration | None:
        return self.generation


class Served:
    """One pipeline behind a dispatcher.

    Attributes:
        units: What its requests lease.
        dispatcher: Takes exchanges.
    """

    def __init__(self, pipeline: Pipeline, *, route: Route | None = None, epoch: int = 7, stamp: bool = False) -> None:
        self.units = UnitSet([UnitKey(UnitRef(UnitKind.PIPELINE, pipeline.name), "d" * 64, 1)], pipeline.counters)
        self.route = route or Route(pipeline.name)
        self.admission = FixedAdmission(
            FixedGeneration(epoch, ApplicationRouter([Target(self.route, pipeline, self.units)]))
        )
        self.dispatcher = LiveDispatcher(self.admission, worker=2, epoch_header=stamp)

    async def ask(self, exchange: MemoryExchange) -> MemoryExchange:
        """Dispatch and wait until the answer is complete and its lease released."""
        assert self.dispatcher.dispatch(exchange)
        await until(lambda: exchange.settled and not self.units.leases, f"settled; leases {self.units.leases}")
        return exchange

    async def try_one(self) -> MemoryExchange:
        """One GET beside others that are under way."""
        exchange = MemoryExchange()
        assert self.dispatcher.dispatch(exchange)
        await until(lambda: exchange.settled, "an answer")
        return exchange

    async def get(self, target: str = "/", **fields: str) -> MemoryExchange:
        """One GET."""
        headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        return await self.ask(MemoryExchange("GET", target, headers=headers))

    async def post(self, target: str, body: bytes, content_type: str = "application/json") -> MemoryExchange:
        """One POST."""
        headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        return await self.ask(MemoryExchange("POST", target, headers=headers, body=[body]))
