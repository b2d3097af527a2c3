import asyncio

import msgspec

from changeover.supervisor.telemetry.stream import Level, Stream, Told
from tests.waits import until


def publish(stream: Stream, count: int) -> None:
    for _ in range(count):
        stream.publish(1.0, Level.INFO, "Scaled", "words", msgspec.Raw(b"{}"))


async def collected(stream: Stream, after: int | None, count: int) -> list[int]:
    numbers = []
    async for told in stream.follow(after):
        numbers.append(told.sequence)
        if len(numbers) == count:
            break
    return numbers


async def test_a_follower_resumes_after_a_number_and_goes_on_live() -> None:
    stream = Stream()
    publish(stream, 5)
    following = asyncio.create_task(collected(stream, 3, 4))
    await until(lambda: stream._followers, "the follower to follow")
    publish(stream, 2)
    assert await asyncio.wait_for(following, 5) == [4, 5, 6, 7]


async def test_a_follower_without_a_number_hears_only_what_comes() -> None:
    stream = Stream()
    publish(stream, 5)
    following = asyncio.create_task(collected(stream, None, 1))
    await until(lambda: stream._followers, "the follower to follow")
    publish(stream, 1)
    assert await asyncio.wait_for(following, 5) == [6]


async def test_a_number_of_a_former_supervisor_begins_at_the_start() -> None:
    stream = Stream()
    publish(stream, 2)
    assert await asyncio.wait_for(collected(stream, 900, 2), 5) == [1, 2]


async def test_a_slow_follower_loses_its_oldest_events_and_can_tell() -> None:
    stream = Stream(kept=3, backlog=3)
    following = asyncio.create_task(collected(stream, None, 3))
    await until(lambda: stream._followers, "the follower to follow")
    publish(stream, 10)
    assert await asyncio.wait_for(following, 5) == [8, 9, 10]
    assert [told.sequence for told in stream.since(0)] == [8, 9, 10]


async def test_closing_ends_every_follower_after_what_it_has_still_to_read() -> None:
    stream = Stream()
    publish(stream, 2)
    stream.close()
    assert await asyncio.wait_for(collected(stream, 0, 99), 5) == [1, 2]


def test_a_listener_hears_what_is_told_meanwhile_and_no_more() -> None:
    stream, heard = Stream(), list[Told]()
    publish(stream, 1)
    with stream.heard_by(heard.append):
        publish(stream, 2)
    publish(stream, 1)
    assert [told.sequence for told in heard] == [2, 3]
