"""What a WSGI application is told of a request."""

import gc
import sys
import tracemalloc
from typing import Any

import pytest

from changeover.workers.serving import wsgi_environ
from changeover.workers.serving.contract import CallContext, Headers, Request
from changeover.workers.serving.lease import LeaseKind, UnitSet
from changeover.workers.serving.wsgi_environ import KNOWN_HEADS, KNOWN_WAYS, LONGEST_HEAD, Environs, FileWrapper


def asked(target: str = "/", raw: bytes = b"", **options: Any) -> Request:
    path, _, query = target.partition("?")
    options.setdefault("client", ("192.0.2.1", 50000))
    options.setdefault("server", ("127.0.0.1", 8000))
    fields = options.pop("fields", [])
    return Request("GET", path, raw_path=raw, query=query.encode(), headers=Headers(fields), **options)


def context() -> CallContext:
    return CallContext(7, "shop", 0, 0, UnitSet(()).lease(LeaseKind.HTTP, 7, "/", 0))


def environ(request: Request, root_path: str = "", *, multithread: bool = True) -> dict[str, Any]:
    return Environs(root_path, multithread=multithread).make(request, context())


def test_everything_that_pep_3333_names_is_there() -> None:
    fields = [(b"host", b"shop.example"), (b"content-type", b"text/plain"), (b"content-length", b"3")]
    assert environ(asked("/a?b=c", fields=fields)) == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a",
        "QUERY_STRING": "b=c",
        "REQUEST_URI": "/a?b=c",
        "RAW_URI": "/a?b=c",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "HTTP_HOST": "shop.example",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "changeover",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "50000",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }


def test_what_one_request_is_told_stays_with_it() -> None:
    environs = Environs("", multithread=True)
    first = environs.make(asked(), context())
    first["SCRIPT_NAME"] = "/moved"
    first["shop.own"] = first.pop("SERVER_NAME")
    again = environs.make(asked(), context())
    assert (again["SCRIPT_NAME"], again["SERVER_NAME"], "shop.own" in again) == ("", "127.0.0.1", False)
    other = environs.make(asked(scheme="https", server=None, client=None, http_version="2"), context())
    assert (other["wsgi.url_scheme"], other["SERVER_PROTOCOL"], other["SERVER_PORT"]) == ("https", "HTTP/2", "443")


def test_ways_are_remembered_up_to_a_bound() -> None:
    environs = Environs("", multithread=True)
    for port in range(2 * KNOWN_WAYS + 1):
        assert environs.make(asked(server=("127.0.0.1", port)), context())["SERVER_PORT"] == str(port)
        assert len(environs._begun) <= KNOWN_WAYS


EVERYTHING: dict[str, Any] = {
    "server": ("127.0.0.1", 8000),
    "scheme": "http",
    "http_version": "1.1",
    "fields": [(b"accept", b"a")],
}
OTHERS = [
    ("/b", b"", {}),
    ("/a?c=d", b"", {}),
    ("/a", b"/%61", {}),
    ("/a", b"", {"server": ("127.0.0.1", 9000)}),
    ("/a", b"", {"server": ("run/shop.sock", None)}),
    ("/a", b"", {"scheme": "https"}),
    ("/a", b"", {"http_version": "1.0"}),
    ("/a", b"", {"fields": [(b"accept", b"b")]}),
    ("/a", b"", {"fields": [(b"accept", b"a"), (b"cookie", b"c=d")]}),
    ("/a", b"", {"fields": []}),
]


@pytest.mark.parametrize(("target", "raw", "other"), OTHERS)
def test_a_head_that_is_remembered_is_told_of_no_other_request(target: str, raw: bytes, other: dict[str, Any]) -> None:
    environs = Environs("", multithread=True)
    one, another = asked("/a", **EVERYTHING), asked(target, raw, **EVERYTHING | other)
    for _ in range(2):
        assert environs.make(one, context()) == environ(one)
        assert environs.make(another, context()) == environ(another)


def test_the_same_head_of_another_client_method_or_mount_is_told_as_such() -> None:
    environs = Environs("", multithread=True)
    environs.make(asked("/a"), context())
    client = environs.make(asked("/a", client=("192.0.2.2", 40000)), context())
    mounted, posted = asked("/a"), asked("/a")
    mounted.root_path, posted.method = "/shop", "POST"
    assert (client["REMOTE_ADDR"], client["REMOTE_PORT"]) == ("192.0.2.2", "40000")
    assert environs.make(mounted, context())["SCRIPT_NAME"] == "/shop"
    assert environs.make(posted, context())["REQUEST_METHOD"] == "POST"
    assert "REMOTE_PORT" not in environs.make(asked("/a", client=None), context())


class Odd(bytes):
    """Of a class that a plugin has made, which would be kept with it."""


@pytest.mark.parametrize(
    "fields",
    [
        [(b"x-odd", Odd(b"a"))],
        [[b"x-odd", b"a"]],
        [(b"x-odd", b"a" * LONGEST_HEAD)],
        [(b"x-odd", b"a"), (b"x_odd", b"a" * LONGEST_HEAD)],
    ],
)
def test_what_is_odd_or_long_is_told_and_not_remembered(fields: Any) -> None:
    environs = Environs("", multithread=True)
    request = asked("/a", fields=fields)
    for _ in range(2):
        assert environs.make(request, context())["HTTP_X_ODD"] == fields[0][1].decode()
    referrers = [each for each in gc.get_referrers(fields[0]) if type(each) is tuple]
    assert referrers == []


def test_heads_are_remembered_up_to_a_bound() -> None:
    environs = Environs("", multithread=True)
    environs.make(asked("/"), context())
    tracemalloc.start()
    try:
        for number in range(20 * KNOWN_HEADS):
            assert environs.make(asked(f"/{number}"), context())["PATH_INFO"] == f"/{number}"
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < KNOWN_HEADS * 8 * LONGEST_HEAD


def test_one_thread_is_told_as_such() -> None:
    assert environ(asked(), multithread=False)["wsgi.multithread"] is False


def test_the_scheme_and_version_are_the_request_s() -> None:
    told = environ(asked(scheme="https", http_version="1.0"))
    assert (told["wsgi.url_scheme"], told["SERVER_PROTOCOL"]) == ("https", "HTTP/1.0")


@pytest.mark.parametrize(
    ("request_", "script_name", "path_info"),
    [
        (asked("/caf\u00e9", b"/caf%C3%A9"), "", "/caf\u00c3\u00a9"),
        (asked("/\ufffd", b"/%ff"), "", "/\u00ff"),
        (asked("/\ufffd", b"/%EF%BF%BD"), "", "/\u00ef\u00bf\u00bd"),
    ],
)
def test_a_path_is_its_bytes_as_characters(request_: Request, script_name: str, path_info: str) -> None:
    told = environ(request_)
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == (script_name, path_info)


def test_a_mount_and_a_proxy_s_prefix_are_the_script_name() -> None:
    mounted = asked("/a", b"/prices/a")
    mounted.root_path = "/prices"
    told = environ(mounted, "/behind")
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("/behind/prices", "/a")


def test_bytes_that_are_no_utf_8_are_found_behind_a_mount() -> None:
    mounted = asked("/\ufffd", b"/%C3%A9/%ff")
    mounted.root_path = "/\u00e9"
    told = environ(mounted)
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("/\u00c3\u00a9", "/\u00ff")


def test_fields_of_the_same_name_are_joined() -> None:
    fields = [(b"x-tag", b"a"), (b"cookie", b"a=1"), (b"x-tag", b"\xe9"), (b"cookie", b"b=2")]
    told = environ(asked(fields=fields))
    assert (told["HTTP_X_TAG"], told["HTTP_COOKIE"]) == ("a,\u00e9", "a=1; b=2")


def test_long_names_are_told_and_not_kept() -> None:
    tracemalloc.start()
    for number in range(100):
        name = b"x-%d-%s" % (number, b"a" * 60_000)
        assert environ(asked(fields=[(name, b"1")]))[f"HTTP_X_{number}_{'A' * 60_000}"] == "1"
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 500_000


def test_a_name_with_an_underscore_cannot_pass_for_another_s() -> None:
    for _ in range(2):
        told = environ(asked(fields=[(b"x-user", b"me"), (b"x_user", b"root"), (b"content_length", b"9")]))
        assert (told["HTTP_X_USER"], "CONTENT_LENGTH" in told, "HTTP_CONTENT_LENGTH" in told) == ("me", False, False)


@pytest.mark.parametrize(
    ("host", "scheme", "named"),
    [
        (b"shop.example", "http", ("shop.example", "80")),
        (b"shop.example:8443", "https", ("shop.example", "8443")),
        (b"[::1]", "https", ("[::1]", "443")),
        (b"[::1]:80", "http", ("[::1]", "80")),
        (b"", "http", ("localhost", "80")),
    ],
)
def test_behind_a_unix_socket_the_server_is_named_as_the_client_names_it(
    host: bytes, scheme: str, named: tuple[str, str]
) -> None:
    told = environ(asked(fields=[(b"host", host)], scheme=scheme, client=None, server=("/run/shop.sock", None)))
    assert (told["SERVER_NAME"], told["SERVER_PORT"]) == named
    assert (told["REMOTE_ADDR"], "REMOTE_PORT" in told) == ("", False)


def test_what_handlers_leave_is_there() -> None:
    call = context()
    call.extensions["tenant"] = "shop"
    made = Environs("", multithread=True)
    assert made.make(asked(), call)["changeover.extensions"] == {"tenant": "shop"}
    assert "changeover.extensions" not in made.make(asked(), context())


def test_one_environ_knows_nothing_of_another() -> None:
    made = Environs("", multithread=True)
    made.make(asked(fields=[(b"x-a", b"1")]), context())["own"] = 1
    assert made.make(asked(), context()).keys() & {"HTTP_X_A", "own"} == set()


class Forgotten(dict[bytes, str | None]):
    """Variables that another thread forgets as soon as this one has looked for one."""

    def __contains__(self, name: object) -> bool:
        known = super().__contains__(name)
        self.clear()
        return known


@pytest.mark.parametrize("known", [{b"content-type": "CONTENT_TYPE", b"x-a": "HTTP_X_A"}, {}], ids=["before", "now"])
def test_what_another_thread_forgets_is_learnt_anew(
    known: dict[bytes, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wsgi_environ, "_variables", Forgotten(known))
    for _ in range(2):
        told = environ(asked(fields=[(b"content-type", b"text/plain"), (b"x-a", b"1")]))
        assert (told.get("CONTENT_TYPE"), told.get("HTTP_X_A")) == ("text/plain", "1")
