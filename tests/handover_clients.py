"""Clients of every kind, who say whatever happens to their connections."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.wire import Client, chunked, get, post

Address = tuple[str, int]


class Load:
    """Clients that go on until they are told to stop.

    Attributes:
        answered: Requests that were answered right, by kind of client.
        faults: Everything else.
        connected: Connections that were made.
    """

    def __init__(self, address: Address, seed: int) -> None:
        self.answered: Counter[str] = Counter()
        self.faults: list[str] = []
        self.connected = 0
        self._address = address
        self._random = random.Random(seed)
        self._paths = itertools.count()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, kind: str, clients: int) -> None:
        """Let so many more clients of a kind go on."""
        story: Callable[[Client], Awaitable[int]] = getattr(self, f"_{kind}")
        self._tasks += [asyncio.ensure_future(self._run(kind, story)) for _ in range(clients)]

    async def stop(self) -> None:
        """Let everybody come to the end of what they are doing."""
        self._stop.set()
        await asyncio.wait_for(asyncio.gather(*self._tasks), 30)

    async def _run(self, kind: str, story: Callable[[Client], Awaitable[int]]) -> None:
        try:
            client = await self.connect()
            while not self._stop.is_set():
                self._count(kind, await story(client))
            if kind in ("idle", "silent"):
                self._count(kind, await self._busy(client))
            await client.close()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to see it
            self.faults.append(f"{kind}: {error!r}")

    def _count(self, kind: str, answered: int) -> None:
        self.answered[kind] += answered

    async def connect(self) -> Client:
        self.connected += 1
        return Client(*await asyncio.open_connection(*self._address))

    def _path(self, under: str = "") -> str:
        return f"{under}/{next(self._paths)}"

    async def _pause(self, longest: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._random.uniform(0, longest))

    async def _expect(self, client: Client, method: str, path: str, body: bytes = b"") -> None:
        answer = await client.response()
        assert answer == (200, f"{method} {path} ".encode() + body), f"{method} {path}: {answer}"

    # ---- kinds ----

    async def _busy(self, client: Client) -> int:
        path = self._path(self._random.choice(["", "/slow"]))
        client.send(get(path))
        await self._expect(client, "GET", path)
        return 1

    async def _idle(self, client: Client) -> int:
        await self._pause(0.3)
        return await self._busy(client)

    async def _silent(self, client: Client) -> int:
        await self._stop.wait()
        return 0

    async def _dribbling(self, client: Client) -> int:
        path = self._path()
        for byte in get(path):
            client.send(bytes((byte,)))
            await asyncio.sleep(0.001)
        await self._expect(client, "GET", path)
        return 1

    async def _pipelining(self, client: Client) -> int:
        paths = [self._path(self._random.choice(["", "/slow"])) for _ in range(6)]
        raw = b"".join(post(path, b"b" * number) for number, path in enumerate(paths))
        at = self._random.randrange(len(raw))
        client.send(raw[:at])
        await self._pause(0.01)
        client.send(raw[at:])
        for number, path in enumerate(paths):
            await self._expect(client, "POST", path, b"b" * number)
        return len(paths)

    async def _uploading(self, client: Client) -> int:
        path, pieces = self._path(), [self._random.randbytes(700) for _ in range(8)]
        raw = chunked(path, *pieces) if self._random.random() < 0.5 else post(path, b"".join(pieces))
        step = len(raw) // 9
        for at in range(0, len(raw), step):
            client.send(raw[at : at + step])
            await self._pause(0.01)
        await self._expect(client, "POST", path, b"".join(pieces))
        return 1

    async def _downloading(self, client: Client) -> int:
        client.send(get("/large"))
        head = await client.head()
        assert head.startswith(b"HTTP/1.1 200")
        for _ in range(40):
            assert await client.exactly(10_000) == b"x" * 10_000
            await self._pause(0.004)
        return 1

    async def _shutting(self, _: Client) -> int:
        """A connection of its own, whose write side is shut while requests are under way."""
        client, paths = await self.connect(), [self._path("/slow") for _ in range(3)]
        client.send(b"".join(map(get, paths)))
        client.shut()
        for path in paths:
            await self._expect(client, "GET", path)
        assert await client.rest() == b""
        await client.close()
        return len(paths)


KINDS = ("busy", "idle", "silent", "dribbling", "pipelining", "uploading", "downloading", "shutting")
