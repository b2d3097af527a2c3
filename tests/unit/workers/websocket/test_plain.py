"""Whole messages read past the library, held against the library alone."""

import logging
import os
import random
from itertools import pairwise

import pytest
from websockets.frames import Frame
from websockets.protocol import State
from websockets.server import ServerProtocol

from changeover.workers.serving.session import WebSocketMessage
from changeover.workers.websocket.connection import DATA
from changeover.workers.websocket.inbox import Inbox
from changeover.workers.websocket.plain import PlainFrames, framed
from tests.websockets_wire import BINARY, CLOSE, COMPRESSING, ECHO, PING, PONG, TEXT, RawSocket, frame, speaking

LONGEST = 70_000


class Reading:
    """What comes of a client's bytes.

    Args:
        plain: Reads whole messages past the library; None where the library reads all.
    """

    def __init__(self, plain: PlainFrames | None) -> None:
        self.messages: list[WebSocketMessage] = []
        self.said = b""
        self.passed = 0
        self.plain = plain
        self.protocol = ServerProtocol(state=State.OPEN, max_size=LONGEST)
        self._inbox = Inbox(32)

    def feed(self, data: bytes) -> None:
        if self.plain is not None and self.protocol.state is State.OPEN:
            data = self.plain.take(data, self._inbox)
        if data:
            self.passed += len(data)
            self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Frame) and event.opcode in DATA:
                self._inbox.put(event)
        self.said += b"".join(self.protocol.data_to_send())
        while self._inbox.messages:
            self.messages.append(self._inbox.pop())

    def end(self) -> tuple[list[WebSocketMessage], bytes, State]:
        return self.messages, self.said, self.protocol.state


def both(*pieces: bytes) -> Reading:
    """Read past the library and with it, and see that nothing tells the two apart."""
    past, alone = Reading(PlainFrames(LONGEST)), Reading(None)
    for piece in pieces:
        past.feed(piece)
        alone.feed(piece)
    assert past.end() == alone.end()
    return past


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A frame with a mask that changes something."""
    plain, mask = frame(opcode, payload, fin=fin), os.urandom(4)
    start = len(plain) - len(payload)
    return plain[: start - 4] + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


MIXED = (
    masked(TEXT, "héllo".encode()),
    masked(TEXT),
    masked(PING, b"are you there"),
    masked(BINARY, bytes(range(126))),
    masked(TEXT, b"a", fin=False),
    masked(PING, b"between"),
    masked(0, b"b", fin=False),
    masked(PONG),
    masked(0, b"c"),
    masked(TEXT, b"x" * 300),
    masked(BINARY, b"y" * 66_000),
    masked(BINARY, b"", fin=False),
    masked(0),
    masked(TEXT, b"last"),
    masked(CLOSE, (1000).to_bytes(2)),
)


@pytest.mark.parametrize(
    "message", ["", "x", "ü" * 62, "x" * 125, "x" * 126, b"", b"\xff", bytes(125), bytes(126), b"y" * 65_535]
)
def test_the_library_does_not_see_a_whole_message(message: WebSocketMessage) -> None:
    data = message.encode() if isinstance(message, str) else message
    reading = both(*[masked(TEXT if isinstance(message, str) else BINARY, data)] * 3)
    assert reading.messages == [message] * 3
    assert reading.passed == 0


def test_several_that_come_together_are_read_together() -> None:
    reading = both(b"".join(masked(TEXT, b"%d" % number) for number in range(100)))
    assert reading.messages == [str(number) for number in range(100)]
    assert reading.passed == 0


def test_everything_else_is_read_by_the_library_and_whole_messages_past_it_again() -> None:
    fragments = masked(TEXT, b"a", fin=False), masked(PING, b"p"), masked(0, b"b")
    reading = both(*fragments, masked(TEXT, b"then"))
    assert reading.messages == ["ab", "then"]
    assert reading.passed == sum(map(len, fragments))


@pytest.mark.parametrize("length", [0, 1, 125, 126, 300, 65_536])
def test_a_frame_may_be_split_at_every_byte(length: int) -> None:
    sent = masked(TEXT, b"x" * length)
    for at in (*range(1, min(len(sent), 20)), len(sent) - 1):
        reading = both(sent[:at], sent[at:], masked(BINARY, b"behind"))
        assert reading.messages == ["x" * length, b"behind"]
        assert reading.passed == len(sent)


@pytest.mark.parametrize(
    "pieces",
    [
        (b"\x82", b"\x81" + b"\x80\x01\x02\x03" + b"z"),
        (b"\x82\xfe", b"\x81\x82" + bytes(4) + bytes(0x8182)),
        (b"\x82\x8c" + bytes(4), masked(TEXT, b"inside"), masked(TEXT, b"behind")),
        (masked(TEXT, b"a", fin=False), masked(TEXT, b"between")),
        (masked(TEXT, b"a", fin=False), masked(PING), masked(TEXT, b"between")),
    ],
)
def test_what_looks_like_a_message_in_the_middle_of_another_is_none(pieces: tuple[bytes, ...]) -> None:
    both(*pieces)


def test_messages_that_come_byte_by_byte_are_the_same() -> None:
    sent = b"".join(MIXED)
    assert len(both(*(sent[at : at + 1] for at in range(len(sent)))).messages) == 8


def test_it_does_not_matter_where_frames_are_split() -> None:
    sent = b"".join(MIXED)
    for seed in range(200):
        chance = random.Random(seed)
        cuts = sorted(chance.sample(range(1, len(sent)), chance.randrange(30)))
        reading = both(*(sent[start:end] for start, end in pairwise((0, *cuts, len(sent)))))
        assert len(reading.messages) == 8, f"seed {seed}"


def test_frames_in_any_order_are_the_same_also_where_the_order_is_wrong() -> None:
    for seed in range(300):
        chance = random.Random(seed)
        sent = b"".join(chance.choices(MIXED[:-1], k=chance.randrange(1, 20))) + MIXED[-1]
        cuts = sorted(chance.sample(range(1, len(sent)), min(len(sent) - 1, chance.randrange(10))))
        both(*(sent[start:end] for start, end in pairwise((0, *cuts, len(sent)))))


@pytest.mark.parametrize(
    "sent",
    [
        *(bytes((first, 0x80 | 2)) + bytes(6) for first in range(256)),
        b"\x81\x02ab",
        b"\x82\x7e\x00\x80" + bytes(128),
        b"\x81\x00" + bytes(6),
        masked(TEXT, b"x" * (LONGEST + 1)),
        b"\x82\xff" + (1 << 40).to_bytes(8) + bytes(4),
        b"\x82\xfe\x00\x02" + bytes(4) + b"ab",
    ],
)
def test_every_first_byte_and_what_breaks_the_protocol_is_judged_by_the_library(sent: bytes) -> None:
    both(masked(TEXT, b"before"), sent, masked(TEXT, b"behind"), masked(CLOSE))


def test_a_message_as_long_as_it_may_be_is_read_and_a_longer_one_is_not() -> None:
    inbox = Inbox(32)
    assert PlainFrames(200).take(masked(TEXT, b"x" * 200), inbox) == b""
    assert inbox.pop() == "x" * 200
    longer = masked(TEXT, b"x" * 201)
    assert PlainFrames(200).take(longer, inbox) == longer
    assert not inbox.messages


def test_a_text_that_is_no_utf_8_is_told_after_the_messages_before_it() -> None:
    inbox = Inbox(32)
    with pytest.raises(UnicodeDecodeError):
        PlainFrames(200).take(masked(TEXT, b"good") + masked(TEXT, b"\xff"), inbox)
    assert inbox.pop() == "good"
    assert not inbox.messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
@pytest.mark.parametrize("message", ["x", b"y"])
def test_what_is_sent_is_what_the_library_would_send(message: WebSocketMessage, size: int) -> None:
    alone = ServerProtocol(state=State.OPEN)
    if isinstance(message, str):
        alone.send_text(b"x" * size)
    else:
        alone.send_binary(b"y" * size)
    assert b"".join(framed(message * size)) == b"".join(alone.data_to_send())


async def echoed(client: RawSocket) -> None:
    for number in range(3):
        client.send(masked(TEXT, b"%d" % number))
        assert await client.frame() == (TEXT, b"%d" % number)


@pytest.mark.parametrize("fields", ["", COMPRESSING])
async def test_only_without_extensions_messages_go_past_the_library(
    monkeypatch: pytest.MonkeyPatch, fields: str
) -> None:
    seen = []
    read = ServerProtocol.receive_data

    def told(protocol: ServerProtocol, data: bytes) -> None:
        seen.append(data)
        read(protocol, data)

    monkeypatch.setattr(ServerProtocol, "receive_data", told)
    async with speaking(ECHO) as server:
        client = await server.raw(fields=fields)
        client.send(masked(TEXT, b"hello"))
        opcode_of_answer = (await client.exactly(1))[0]
        assert opcode_of_answer == (0xC1 if fields else 0x81)
    assert bool(seen) is bool(fields)


async def test_whoever_debugs_sees_every_frame(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "changeover.websocket")
    async with speaking(ECHO) as server:
        await echoed(await server.raw())
    assert [record.getMessage() for record in caplog.records if "TEXT" in record.getMessage()] == [
        f"{way} TEXT '{number}' [1 byte]" for number in range(3) for way in "<>"
    ]
