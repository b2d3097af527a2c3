"""A pipe may bring anything, in any amount: so much is kept, and nobody waits for it."""

import os

from changeover.workers.preflight.listening import Heard


def test_the_end_of_what_comes_is_kept_and_the_end_of_the_pipe_is_noticed() -> None:
    reading, writing = os.pipe()
    heard = Heard(reading, 4)
    assert heard.take() is None
    os.write(writing, b"abc")
    assert heard.take() == b"abc"
    assert (bytes(heard.kept), heard.cut) == (b"abc", False)
    os.write(writing, b"defg")
    os.close(writing)
    heard.take()
    assert (bytes(heard.kept), heard.cut) == (b"defg", True)
    assert heard.take() == b""
    heard.close()


def test_what_is_left_is_read_at_last_though_somebody_holds_the_pipe() -> None:
    reading, writing = os.pipe()
    heard = Heard(reading, 10)
    os.write(writing, b"last words")
    heard.close()
    assert bytes(heard.kept) == b"last words"
    os.close(writing)
