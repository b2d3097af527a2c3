"""The client reads answers whole, in whatever pieces they come, and refuses what is none."""

import pytest
from benchmarks.load.answer import Answer, AnswerReader, Malformed

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + SIZED


def read(data: bytes, size: int) -> Answer | None:
    reader = AnswerReader()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    answers = [reader.feed(piece) for piece in pieces]
    assert not any(answers[:-1])
    return answers[-1]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("data", [SIZED, CHUNKED, INTERIM], ids=["sized", "chunked", "interim"])
def test_an_answer_is_read_whole_in_pieces_of_any_size(data: bytes, size: int) -> None:
    answer = read(data, size)
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"hello")
    assert not answer.closing


def test_a_part_of_an_answer_is_none() -> None:
    assert read(SIZED[:-1], 1000) is None
    assert read(CHUNKED[:-2], 1000) is None


def test_an_announced_end_is_seen() -> None:
    answer = read(b"HTTP/1.1 204 No Content\r\nConnection: Close\r\n\r\n", 1000)
    assert answer is not None
    assert answer.closing


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno field\r\n\r\n",
        SIZED + b"surplus",
        CHUNKED + b"surplus",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        AnswerReader().feed(data)
