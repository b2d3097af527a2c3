"""Unread bytes: heads are cut off their front, hopeless ones refused before they are complete."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.workers.channel.limits import Limits
from changeover.workers.http.faults import BadMessage
from changeover.workers.http.unread import Unread

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def dribble(unread: Unread, raw: bytes) -> None:
    for at in range(len(raw)):
        unread.add(raw[at : at + 1])
        assert unread.cut_head() is None


@given(st.lists(st.integers(0, 2 * len(HEAD) + 10), max_size=8))
def test_heads_are_cut_at_their_end_however_they_arrive(cuts: list[int]) -> None:
    raw = HEAD + b"\r\n" + HEAD + b"GET /x"
    unread = Unread(Limits())
    heads = []
    edges = [0, *sorted(cuts), len(raw)]
    for start, end in itertools.pairwise(edges):
        unread.add(raw[start:end])
        while (head := unread.cut_head()) is not None:
            heads.append(head)
    assert heads == [HEAD, HEAD]
    assert unread.data == b"GET /x"


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (400, b"\x16\x03\x01\x02\x00"),
        (400, b"GET / HTTP/1.1\nHost: a\n\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\n\r\n"),
        (400, b"\n"),
        (414, b"GET /" + b"a" * 200),
        (414, b"GET /" + b"a" * 200 + b"\r\nHost"),
        (431, b"GET / HTTP/1.1\r\nX: " + b"a" * 500),
    ],
)
def test_a_hopeless_head_is_refused_before_its_end(status: int, raw: bytes) -> None:
    with pytest.raises(BadMessage) as caught:
        dribble(Unread(Limits(url=100, head=512)), raw)
    assert caught.value.status == status


def test_a_head_that_fills_all_room_is_refused_rather_than_waited_for() -> None:
    unread = Unread(Limits(url=100, head=64, unread=64))
    unread.add(b"GET / HTTP/1.1\r\nX: " + b"a" * 45)
    with pytest.raises(BadMessage, match="431"):
        unread.cut_head()


def test_a_head_that_is_put_back_is_cut_again_and_counts_as_unread() -> None:
    unread = Unread(Limits(unread=100))
    unread.add(HEAD + b"GET /next")
    head = unread.cut_head()
    assert head == HEAD
    assert unread.room == 100 - len(b"GET /next")
    unread.put_back(head)
    assert unread.room == 100 - len(HEAD + b"GET /next")
    assert unread.cut_head() == HEAD
    assert unread.data == b"GET /next"


def test_a_body_is_cut_once_all_of_it_is_there_and_put_back_with_its_head() -> None:
    unread = Unread(Limits())
    unread.add(HEAD + b"bod")
    assert unread.cut_head() == HEAD
    assert unread.cut_body(4) == b""
    assert unread.cut_body(0) == b""
    unread.add(b"y" + HEAD)
    assert unread.cut_body(4) == b"body"
    assert unread.data == HEAD
    unread.put_back(HEAD + b"body")
    assert unread.cut_head() == HEAD
    assert unread.data == b"body" + HEAD
