"""Frames as they are cut out of what comes, in whatever pieces it comes."""

import pytest

from changeover.workers.http2.faults import Violation
from changeover.workers.http2.frames import (
    CALM,
    DATA,
    FRAME_SIZE_ERROR,
    HEADERS,
    LONGEST,
    PREFACE,
    PROTOCOL_ERROR,
    Frame,
    Frames,
)


def fed(frames: Frames, data: bytes) -> list[Frame]:
    """The frames that are complete with it."""
    frames.add(data)
    return list(iter(frames.take, None))


def frame(kind: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + bytes(4) + payload


def test_frames_are_the_same_whatever_their_bytes_are_split_into() -> None:
    raw = PREFACE + frame(DATA, b"body") + frame(HEADERS, b"fields", 4) + frame(DATA)
    whole = fed(Frames(100), raw)
    assert [(each.kind, each.length) for each in whole] == [(-1, 15), (DATA, 4), (HEADERS, 6), (DATA, 0)]
    assert b"".join(each.raw for each in whole) == raw
    for size in (1, 2, 3, 7, 10, 25):
        frames = Frames(100)
        pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
        assert [each for piece in pieces for each in fed(frames, piece)] == whole


def test_what_is_no_preface_is_refused_at_its_first_wrong_byte() -> None:
    frames = Frames(100)
    assert fed(frames, b"PRI * HT") == []
    with pytest.raises(Violation) as caught:
        fed(frames, b"X")
    assert caught.value.code == PROTOCOL_ERROR


def test_a_frame_that_is_too_long_is_refused_before_it_comes() -> None:
    frames = Frames(100)
    with pytest.raises(Violation) as caught:
        fed(frames, PREFACE + (LONGEST + 1).to_bytes(3, "big") + bytes(6))
    assert caught.value.code == FRAME_SIZE_ERROR


def test_it_says_whether_something_has_begun_and_not_ended() -> None:
    frames = Frames(100)
    begun = []
    for data in (PREFACE, frame(HEADERS, b"half"), frame(9, b"rest", 4), frame(DATA, b"body")[:-1]):
        fed(frames, data)
        begun.append(frames.begun)
    assert begun == [False, True, False, True]


def test_the_fields_of_a_message_are_bounded_together_and_those_of_the_next_anew() -> None:
    frames = Frames(100)
    assert len(fed(frames, PREFACE + frame(HEADERS, bytes(60), 4) * 5)) == 6
    with pytest.raises(Violation) as caught:
        fed(frames, frame(HEADERS, bytes(60)) + frame(9, bytes(41)))
    assert caught.value.code == CALM
