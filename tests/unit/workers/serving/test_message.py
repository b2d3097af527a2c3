"""Requests, responses and their fields."""

import tracemalloc
from collections import deque

import msgspec
import pytest

from changeover.workers.serving.message import KNOWN_NAMES, BodyInvalid, BodyTooLarge, Headers, Request, Response


def request(*pieces: bytes) -> Request:
    waiting = deque(pieces)

    async def receive() -> bytes | None:
        return waiting.popleft() if waiting else None

    return Request("POST", "/", receive=receive)


def test_fields_are_found_without_regard_to_case() -> None:
    headers = Headers([(b"x-a", b"1"), (b"x-b", b"2")])
    assert headers["X-A"] == "1"
    assert "X-B" in headers
    assert headers.get("x-c") is None
    assert dict(headers) == {"x-a": "1", "x-b": "2"}


def test_setting_replaces_every_field_of_the_name_and_adding_keeps_them() -> None:
    headers = Headers([(b"set-cookie", b"a=1"), (b"x", b"1"), (b"set-cookie", b"b=2")])
    headers.add("Set-Cookie", "c=3")
    assert headers.all("set-cookie") == ["a=1", "b=2", "c=3"]
    assert len(headers) == 2
    headers["Set-Cookie"] = "d=4"
    assert headers.raw == [(b"set-cookie", b"d=4"), (b"x", b"1")]
    del headers["X"]
    assert headers.raw == [(b"set-cookie", b"d=4")]
    with pytest.raises(KeyError):
        del headers["x"]


@pytest.mark.parametrize(("name", "value"), [("", "1"), ("a b", "1"), ("a:", "1"), ("a", "1\r\nb: 2"), ("a", "\0")])
def test_a_field_that_would_break_the_framing_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="is no header field"):
        Headers().add(name, value)


@pytest.mark.parametrize("value", ["\r", "\n", "\0", "a\rb", "a\nb", "a\0b", "1\r\nb: 2"])
def test_a_name_that_was_set_before_does_not_let_a_value_pass(value: str) -> None:
    headers = Headers()
    headers["X-Known"] = "1"
    with pytest.raises(ValueError, match="is no header field"):
        headers["X-Known"] = value
    assert headers.raw == [(b"x-known", b"1")]


@pytest.mark.parametrize("value", ["", " ", "a\tb", "\x7f", "\x85", "\xa0", "caf\xe9"])
def test_a_value_that_is_no_plain_text_and_breaks_nothing_passes(value: str) -> None:
    headers = Headers()
    headers["x"] = value
    assert headers.raw == [(b"x", value.encode("latin-1"))]


def test_names_that_are_never_the_same_do_not_pile_up() -> None:
    def set_many(first: int) -> None:
        for number in range(first, first + 2 * KNOWN_NAMES):
            Headers()[f"x-{number}-{'a' * 100}"] = "1"

    set_many(0)
    tracemalloc.start()
    set_many(10 * KNOWN_NAMES)
    before, _ = tracemalloc.get_traced_memory()
    set_many(20 * KNOWN_NAMES)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after < before + 100_000


def test_long_names_are_taken_and_not_kept() -> None:
    headers = Headers()
    tracemalloc.start()
    for number in range(100):
        headers[f"X-{number}-{'a' * 60_000}"] = "1"
        assert headers.raw.pop() == (b"x-%d-%s" % (number, b"a" * 60_000), b"1")
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 500_000


async def test_a_body_is_read_once_and_kept() -> None:
    asked = request(b"a", b"", b"b")
    assert asked.held_body is None
    assert await asked.body() == b"ab"
    assert await asked.body() == b"ab"
    assert [piece async for piece in asked.stream()] == [b"ab"]
    assert asked.held_body == b"ab"


async def test_a_body_that_drips_costs_little_more_than_its_bytes() -> None:
    numbers = iter(range(50_000))

    async def receive() -> bytes | None:
        number = next(numbers, None)
        return None if number is None else number.to_bytes(2)

    tracemalloc.start()
    try:
        size = len(await Request("POST", "/", receive=receive).body())
        assert tracemalloc.get_traced_memory()[1] < 4 * size
    finally:
        tracemalloc.stop()


async def test_a_body_can_be_streamed_without_being_kept() -> None:
    assert [piece async for piece in request(b"a", b"", b"b").stream()] == [b"a", b"b"]


async def test_a_body_beyond_its_limit_is_refused() -> None:
    with pytest.raises(BodyTooLarge, match="longer than 3 bytes"):
        await request(b"ab", b"cd").body(limit=3)


async def test_json_that_is_none_or_of_another_type_is_refused_under_either_name() -> None:
    assert await request(b"[1]").json(list[int]) == [1]
    with pytest.raises(BodyInvalid):
        await request(b"[").json()
    with pytest.raises(msgspec.ValidationError, match="Expected `int`"):
        await request(b'["x"]').json(list[int])


def test_a_problem_says_its_status() -> None:
    problem = Response.problem(404, "Not found", "no such cart")
    assert problem.body == b'{"status":404,"title":"Not found","detail":"no such cart"}'
    assert problem.headers["content-type"] == "application/problem+json"


async def test_the_rest_of_a_body_that_was_too_long_does_not_pass_for_the_whole() -> None:
    asked = request(b"aaaa", b"bbbb", b"rest")
    with pytest.raises(BodyTooLarge):
        await asked.body(limit=6)
    with pytest.raises(BodyTooLarge):
        await asked.body()
    with pytest.raises(BodyTooLarge):
        await asked.receive()
