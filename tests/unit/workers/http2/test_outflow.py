"""What waits to be sent, and in which order it goes."""

from hypothesis import given
from hypothesis import strategies as st

from changeover.workers.http2.outflow import Outflow, Rounds


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(1, 60)))
def test_what_is_cut_is_what_was_added_in_order(pieces: list[bytes], cuts: list[int]) -> None:
    outflow = Outflow()
    for piece in pieces:
        outflow.add(piece)
    whole = b"".join(pieces)
    taken = b""
    for size in cuts:
        left = outflow.size
        piece = outflow.cut(size)
        assert len(piece) == min(size, left)
        taken += piece
    assert taken == whole[: len(taken)]
    assert outflow.size == len(whole) - len(taken)


def test_a_piece_that_fits_is_passed_on_as_it_is() -> None:
    outflow, piece = Outflow(), bytes(100)
    outflow.add(piece)
    assert outflow.cut(1000) is piece


def test_streams_take_turns_and_who_waits_has_none() -> None:
    rounds = Rounds[str]()
    for stream in "abc":
        rounds.want(stream)
    first = rounds.next()
    rounds.block(first)
    rounds.want(first)
    assert [rounds.next(), rounds.next()] == ["b", "c"]
    assert not rounds
    rounds.unblock("a")
    rounds.want("b")
    assert [rounds.next(), rounds.next()] == ["a", "b"]


def test_who_is_gone_has_no_turn() -> None:
    rounds = Rounds[str]()
    rounds.want("a")
    rounds.block("b")
    rounds.leave("a")
    rounds.leave("b")
    rounds.unblock_all()
    assert not rounds
