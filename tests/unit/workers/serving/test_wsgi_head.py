"""What may be given to start_response."""

import gc
import weakref
from typing import Any

import pytest

from changeover.workers.serving import wsgi_head
from changeover.workers.serving.wsgi_head import KNOWN_HEADS, KNOWN_NAMES, LONGEST_HEAD, WsgiViolation, checked_head


def test_a_head_is_read() -> None:
    head = checked_head(
        "404 Not Found", [("Content-Length", "3"), ("X-Name", "caf\u00e9"), ("Set-Cookie", "a"), ("Set-Cookie", "b")]
    )
    assert (head.status, head.length) == (404, 3)
    assert list(head.fields) == [
        (b"content-length", b"3"),
        (b"x-name", b"caf\xe9"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
    ]


@pytest.mark.parametrize(("status", "code"), [("200", 200), ("200 ", 200), ("599 Whatever you like", 599)])
def test_a_status_needs_no_words(status: str, code: int) -> None:
    assert checked_head(status, []).status == code


@pytest.mark.parametrize("status", ["", "OK", "20 OK", "2000 OK", "100 Continue", "600 No", "200 a\nb", 200, b"200 OK"])
def test_what_is_no_status_is_refused(status: object) -> None:
    with pytest.raises(WsgiViolation, match="write it like '200 OK'"):
        checked_head(status, [])


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ((), "headers in a tuple; give a list"),
        ([("a",)], "no tuple of name and value"),
        ([["a", "b"]], "no tuple of name and value"),
        ([("a", 1)], "is not two strings"),
        ([(b"a", "b")], "is not two strings"),
        ([("", "b")], "is no name of a header"),
        ([("a b", "c")], "is no name of a header"),
        ([("a\n", "c")], "is no name of a header"),
        ([("a", "b\r\nc: d")], "a line break or NUL"),
        ([("a", "b\0")], "a line break or NUL"),
        ([("a", "\u20ac")], "outside latin-1"),
        ([("\u20ac", "a")], "is no name of a header"),
        ([("Transfer-Encoding", "chunked")], "one connection, which is the server's business"),
        ([("upgrade", "websocket")], "one connection, which is the server's business"),
        ([("Content-Length", "a")], "Content-Length is a"),
        ([("Content-Length", "-1")], "Content-Length is -1"),
        ([("Content-Length", "1"), ("Content-Length", "2")], "Content-Length is 1, 2"),
    ],
)
def test_what_would_break_the_response_is_refused(headers: Any, said: str) -> None:
    for _ in range(2):
        with pytest.raises(WsgiViolation, match=said):
            checked_head("200 OK", headers)


def test_a_wish_for_the_connection_is_passed_on() -> None:
    assert checked_head("200 OK", [("Connection", "close")]).fields == ((b"connection", b"close"),)


def test_names_are_remembered_up_to_a_bound() -> None:
    for number in range(2 * KNOWN_NAMES):
        assert checked_head("200 OK", [(f"X-{number}", "a")]).fields == ((b"x-%d" % number, b"a"),)


def test_a_head_like_a_recent_one_is_the_same() -> None:
    assert checked_head("200 OK", [("X-Same", "a")]) is checked_head("200 OK", [("X-Same", "a")])
    assert checked_head("200 OK", [("X-Same", "a")]) is not checked_head("201 OK", [("X-Same", "a")])


def test_heads_are_remembered_up_to_a_bound() -> None:
    for number in range(2 * KNOWN_HEADS + 1):
        checked_head("200 OK", [("X-Number", str(number))])
        assert len(wsgi_head._heads) <= KNOWN_HEADS


def test_long_heads_are_not_remembered() -> None:
    before = len(wsgi_head._heads)
    assert checked_head("200 OK", [("X-Long", "x" * LONGEST_HEAD)]).fields == ((b"x-long", b"x" * LONGEST_HEAD),)
    assert len(wsgi_head._heads) == before


class Text(str):
    """A string of an application's own class."""

    __slots__ = ("__weakref__",)


@pytest.mark.parametrize("place", ["status", "name", "value"])
def test_nothing_of_an_applications_classes_is_kept(place: str) -> None:
    given = {"status": "200 Fine", "name": "X-Own", "value": "own"}
    given[place] = own = Text(given[place])
    gone = weakref.ref(own)
    checked_head("200 Fine", [("X-Own", "other")])  # names and status are known without it
    checked_head(given["status"], [(given["name"], given["value"])])
    del given, own
    gc.collect()
    assert gone() is None
