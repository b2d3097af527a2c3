"""What is counted of raw protocols: messages, what handlers do, services that are not ready, connections that end."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from changeover.workers.message.channel import Channel
from changeover.workers.message.contract import MessageCall
from changeover.workers.protocol.counted import Counts
from changeover.workers.protocol.observed import PipelineEvent, PipelineEventKind
from changeover.workers.serving.contract import NotReady
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.timing import EVERY
from tests.messages import ADDRESS, NAME, MessageServer, lines, speaking

PIPELINE = f"{ADDRESS} {NAME}"


class Heard:
    """Everything that was noted."""

    def __init__(self) -> None:
        self.events: list[PipelineEvent] = []
        self.counters = Counters(self)

    def note(self, event: PipelineEvent) -> None:
        self.events.append(event)

    def watch(self, server: MessageServer) -> None:
        """Count what passes the pipeline that serves."""
        server.pipeline.count(ADDRESS, self.counters)

    @property
    def counts(self) -> Counts:
        return self.counters.counts()


@pytest.fixture
def heard() -> Heard:
    return Heard()


async def gate(message: str, call: MessageCall) -> str | None:
    if message == "broken":
        raise RuntimeError("the gate is broken")
    return "no" if message == "stop" else None


def upper(messages: Sequence[str], channel: Channel) -> list[str]:
    return [message.upper() for message in messages]


async def answer(message: str, call: MessageCall) -> str:
    if message == "later":
        raise NotReady(1)
    return message


@asynccontextmanager
async def watched(heard: Heard) -> AsyncIterator[MessageServer]:
    async with speaking(answer, inbound_gate=gate, outbound_upper=upper) as server:
        heard.watch(server)
        yield server


async def test_messages_are_counted_and_what_handlers_do_with_them(heard: Heard) -> None:
    async with watched(heard) as server:
        client = await server.client()
        for message, said in (("a", b"A\n"), ("b", b"B\n"), ("stop", b"NO\n")):
            client.send(message.encode() + b"\n")
            assert await client.exactly(len(said)) == said
        client.send(b"broken\n")
        assert await client.rest() == b"FAILED\n"
    counted = heard.counts.pipelines[PIPELINE]
    assert (counted.routes, counted.hits) == ({ADDRESS: 4}, 4)
    assert heard.counts.requests == 4
    gated = counted.handlers["feed:gate"]
    assert (gated.answered, gated.failed, gated.timed) == (1, 1, 1)
    assert counted.handlers["feed:upper"].timed == 1
    assert counted.ends == {"internal error": 1}
    [failure] = [event for event in heard.events if event.kind is PipelineEventKind.HANDLER_FAILED]
    assert (failure.pipeline, failure.subject, failure.detail) == (
        PIPELINE,
        "feed:gate",
        "RuntimeError: the gate is broken",
    )


async def test_one_message_in_sixteen_is_timed(heard: Heard) -> None:
    async with watched(heard) as server:
        client = await server.client()
        for _ in range(2 * EVERY + 1):
            client.send(b"a\n")
            assert await client.exactly(2) == b"A\n"
    counted = heard.counts.pipelines[PIPELINE]
    assert [counted.handlers[name].timed for name in ("feed:gate", "feed:upper")] == [3, 3]
    assert 0 < counted.handlers["feed:gate"].longest <= counted.handlers["feed:gate"].nanoseconds


async def test_a_service_that_is_not_ready_is_counted_and_told_of_until_it_is(heard: Heard) -> None:
    async with watched(heard) as server:
        first, second = [await server.client() for _ in range(2)]
        first.send(b"later\n")
        assert await first.rest() == b"UNSERVED\n"
        assert (heard.counts.services[NAME].not_ready, heard.counts.services[NAME].unready) == (1, 1)
        second.send(b"now\n")
        assert await second.exactly(4) == b"NOW\n"
    assert heard.counts.services[NAME].unready == 0
    assert heard.counts.pipelines[PIPELINE].ends == {"nothing serves this": 1}
    kinds = [event.kind for event in heard.events]
    assert kinds == [PipelineEventKind.NOT_READY_BEGAN, PipelineEventKind.NOT_READY_ENDED]


async def test_what_is_no_message_is_a_reason_to_end_and_nobodys_failure(heard: Heard) -> None:
    async with watched(heard) as server:
        client = await server.client()
        client.send(b"x" * 65 + b"\n")
        assert await client.rest() == b"MALFORMED\n"
    counted = heard.counts.pipelines[PIPELINE]
    assert counted.ends == {"malformed message": 1}
    assert (counted.hits, heard.events) == (0, [])


async def test_both_versions_of_a_pipeline_count_together(heard: Heard) -> None:
    async with watched(heard) as server:
        client = await server.client()
        for epoch in (2, 3):
            client.send(b"a\n")
            assert await client.exactly(2) == b"A\n"
            server.swap(epoch, lines(answer, outbound_upper=upper))
            heard.watch(server)
        client.send(b"a\n")
        assert await client.exactly(2) == b"A\n"
    assert heard.counts.pipelines[PIPELINE].hits == 3
