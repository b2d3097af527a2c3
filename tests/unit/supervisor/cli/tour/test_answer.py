import asyncio

import pytest

from changeover.supervisor.cli.tour.answer import Answer, NoResponse, read_answer


def test_a_response_in_pieces_is_complete_with_its_last_byte() -> None:
    answer = Answer()
    for byte in b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nX-Kind: none\r\n\r\nno":
        answer.feed(bytes([byte]))
    assert (answer.status, answer.complete) == (404, False)
    answer.feed(b"!")
    assert (answer.complete, bytes(answer.body)) == (True, b"no!")
    assert (answer.line, answer.fields[b"x-kind"]) == ("HTTP/1.1 404 Not Found", b"none")


def test_chunks_are_put_together() -> None:
    answer = Answer()
    answer.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert (answer.complete, bytes(answer.body)) == (True, b"abcde")


def test_a_response_without_a_body_is_complete_with_its_head() -> None:
    answer = Answer()
    answer.feed(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (answer.complete, answer.status) == (True, 204)


def test_what_is_no_response_says_so() -> None:
    with pytest.raises(NoResponse, match=r"no response of HTTP/1\.1"):
        Answer().feed(b"SSH-2.0-OpenSSH_9.6\r\n")


async def test_a_connection_that_ends_in_an_answer_is_no_answer() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab")
    reader.feed_eof()
    with pytest.raises(asyncio.IncompleteReadError):
        await read_answer(reader)
