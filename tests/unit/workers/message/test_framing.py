"""The ready-made codecs: what they cut out of bytes, wherever those are split, and what they refuse."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.plugin import Codec, FrameCodec, Goodbye, LineCodec, MalformedMessage
from changeover.workers.message.codec import MOST_FRAME
from changeover.workers.message.inbox import Inbox

LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=30))


def cut(codec: Codec[Any], pieces: list[bytes]) -> list[Any]:
    """Every message of bytes that come in pieces."""
    inbox = Inbox(MOST_FRAME)
    messages: list[Any] = []
    for piece in pieces:
        inbox.add(piece)
        while (taken := inbox.take(codec)) is not None:
            messages += taken
    assert not inbox
    return messages


def split(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


@given(LINES, st.lists(st.integers(0)))
def test_lines_come_out_as_they_went_in_wherever_they_are_split(lines: list[str], places: list[int]) -> None:
    codec = LineCodec(200)
    assert cut(codec, split(b"".join(map(codec.encode, lines)), places)) == lines


@given(st.lists(st.binary(max_size=300)), st.lists(st.integers(0)), st.sampled_from((2, 4)))
def test_frames_come_out_as_they_went_in_wherever_they_are_split(
    frames: list[bytes], places: list[int], width: int
) -> None:
    codec = FrameCodec(300, width=width)
    assert cut(codec, split(b"".join(map(codec.encode, frames)), places)) == frames


def test_a_carriage_return_before_the_end_of_a_line_is_dropped() -> None:
    assert cut(LineCodec(3), [b"abc\r", b"\n", b"a\rb\n"]) == ["abc", "a\rb"]


@pytest.mark.parametrize("data", [b"abcd\n", b"abcde", b"abcd\r\n"])
def test_a_line_that_is_too_long_is_refused_as_soon_as_it_is(data: bytes) -> None:
    with pytest.raises(MalformedMessage, match="longer than 3 bytes"):
        cut(LineCodec(3), [data])


def test_a_line_in_another_encoding_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="not utf-8"):
        cut(LineCodec(), [b"\xff\n"])


def test_a_frame_that_is_announced_too_long_is_refused_before_it_comes() -> None:
    with pytest.raises(MalformedMessage, match="a message of 301 bytes is announced, and 300 are allowed"):
        cut(FrameCodec(300), [(301).to_bytes(4)])


def test_what_cannot_be_sent_is_an_error_of_whoever_sends_it() -> None:
    with pytest.raises(ValueError, match="line break"):
        LineCodec().encode("a\nb")
    with pytest.raises(ValueError, match="do not fit a length of 1 bytes"):
        FrameCodec(200, width=1).encode(bytes(256))


@pytest.mark.parametrize(
    ("make", "fact"),
    [
        (lambda: LineCodec(0), "longest = 0"),
        (lambda: LineCodec(MOST_FRAME), "1 to 65534 bytes"),
        (lambda: FrameCodec(MOST_FRAME), "1 to 65532 bytes"),
        (lambda: FrameCodec(width=3), "a length of 3 bytes: it has 1, 2, 4"),
        (lambda: FrameCodec(256, width=1), "256 does not fit a length of 1 bytes"),
    ],
)
def test_a_codec_that_cannot_be_is_refused(make: Any, fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        make()


def test_the_last_word_is_the_protocols_own() -> None:
    assert LineCodec(goodbyes={Goodbye.IDLE: "too quiet"}).goodbye(Goodbye.IDLE) == b"too quiet\n"
    assert FrameCodec(goodbyes={Goodbye.IDLE: b"!"}).goodbye(Goodbye.IDLE) == b"\0\0\0\1!"
    assert LineCodec().goodbye(Goodbye.IDLE) == b""


class Endless(Codec[bytes]):
    def decode(self, data: bytearray, start: int) -> tuple[bytes, int] | None:
        return b"", start

    def encode(self, message: bytes) -> bytes:
        return message


def test_a_codec_that_never_gets_further_is_found_out() -> None:
    with pytest.raises(ValueError, match=r"Endless\.decode names an end that is outside"):
        cut(Endless(), [b"x"])


class Patient(Endless):
    def decode(self, data: bytearray, start: int) -> tuple[bytes, int] | None:
        return None


def test_a_message_ends_before_the_bytes_that_a_connection_takes_along() -> None:
    inbox = Inbox(100)
    inbox.add(bytes(99))
    assert inbox.take(Patient()) is None
    inbox.add(b"x")
    with pytest.raises(MalformedMessage, match="longer than 100 bytes"):
        inbox.take(Patient())
