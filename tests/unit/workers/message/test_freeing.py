"""What is left of a connection of a raw protocol after its end: nothing that only the garbage collector would find."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from changeover.plugin import Channel, MessageCall, MessageService, Pressure
from tests.cycles import cycles
from tests.messages import AUTHORITY, MessageServer, speaking
from tests.unit.workers.channel.test_freeing import AGAIN, RESET, Line, Speak, read
from tests.waits import until


def asks(client: socket.socket) -> None:
    """Two messages, and it is the client that closes."""
    client.sendall(b"one\n")
    read(client, b"one\n")
    client.sendall(b"two\n")
    read(client, b"two\n")


def says_nothing(client: socket.socket) -> None:
    """It only comes by."""


def errs(client: socket.socket) -> None:
    client.sendall(b"\xff\n")
    assert read(client, b"") == b"MALFORMED\n"


def is_dismissed(client: socket.socket) -> None:
    client.sendall(b"close\n")
    read(client, b"")


def fails(client: socket.socket) -> None:
    client.sendall(b"fail\n")
    assert read(client, b"") == b"FAILED\n"


def resets(client: socket.socket) -> None:
    """It goes away without a word, in the middle of a message."""
    client.sendall(b"one\n")
    read(client, b"one\n")
    client.sendall(b"hal")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def leaves(client: socket.socket) -> None:
    """It goes away while its message is answered."""
    client.sendall(b"wait\n")
    read(client, b"waits\n")


def streams(client: socket.socket) -> None:
    """It goes away in the middle of an answer in pieces."""
    client.sendall(b"count\n")
    read(client, b"3\n")


def dictates(client: socket.socket) -> None:
    """It goes away in the middle of what is read as a part of one message."""
    client.sendall(b"letter\ndear\n")
    client.shutdown(socket.SHUT_WR)
    read(client, b"")


class Talks(MessageService):
    """Answers in all ways, and keeps each channel."""

    def __init__(self) -> None:
        self.channels: list[Channel] = []

    def opened(self, channel: Channel) -> None:
        channel.state = [channel]
        self.channels.append(channel)

    def __call__(self, message: str, call: MessageCall) -> object:
        match message:
            case "close":
                call.channel.close()
            case "fail":
                raise RuntimeError("of a test")
            case "wait":
                return self._wait(call.channel)
            case "count":
                return self._count()
            case "letter":
                return self._letter(call.channel)
        return message

    async def _wait(self, channel: Channel) -> None:
        channel.write("waits")
        channel.flush()
        while not channel.client_shut:
            await asyncio.sleep(0.001)

    async def _count(self) -> AsyncIterator[str]:
        for number in range(20):
            yield str(number)
            await asyncio.sleep(0.001)

    async def _letter(self, channel: Channel) -> str:
        lines = []
        while (line := await channel.read()) is not None:
            lines.append(line)
        return "|".join(lines)


ENDS = [asks, says_nothing, errs, is_dismissed, fails, resets, leaves, streams, dictates]
SECURED = [speak for speak in ENDS if speak is not dictates]


async def nothing_is_left(server: MessageServer, service: Talks, line: Line, speak: Speak) -> None:
    """Speak some times, and see that every connection was free once it ended, whoever keeps its channel."""

    async def left() -> Counter[str]:
        found = Counter[str]()
        with cycles(found):
            for _ in range(AGAIN):
                await line.speak(speak)
            await until(lambda: len(service.channels) == AGAIN and not len(server.connections) and not server.leases)
            for _ in range(3):
                await asyncio.sleep(0)  # the loop lets go of what it called last
            for channel in service.channels:
                assert channel.write("late") is Pressure.GONE
                assert channel.client_shut
                assert channel.outcome.listener
                await channel.drain()
                channel.shut()
                channel.close()
                with pytest.raises(RuntimeError, match="none under way"):
                    await channel.read()
            service.channels.clear()
        return found

    await left()  # with what is made once and for all
    assert not await left()


@pytest.mark.parametrize("speak", ENDS)
async def test_nothing_is_left_of_a_connection_in_cleartext(speak: Speak) -> None:
    service = Talks()
    async with speaking(service) as server:
        await nothing_is_left(server, service, Line(server.listener.getsockname()[1]), speak)


@pytest.mark.parametrize("speak", SECURED)
async def test_nothing_is_left_of_a_connection_over_tls(tmp_path: Path, speak: Speak) -> None:
    service = Talks()
    async with speaking(service, certificates=tmp_path) as server:
        line = Line(server.listener.getsockname()[1], AUTHORITY.client(), "feed.example")
        await nothing_is_left(server, service, line, speak)
