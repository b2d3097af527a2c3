"""Runs Django's own tests with a test client that asks over sockets, through this data plane.

By itself their client calls the handler, in the thread of the test. Here it does so in a thread of the data plane,
which shares the test's connections to databases; what arrives has to be what the handler gave. A program of its own,
called with labels of tests in the folder of a source distribution.
"""

import runpy
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.db import connections  # type: ignore[import-untyped]
from django.test.client import ClientHandler  # type: ignore[import-untyped]

from tests.integration.frameworks.wsgi_over_sockets import Answer, Environ, ask, tell

in_memory = ClientHandler.__call__
OPTIONS = ("--settings=test_sqlite", "--parallel=1", "--noinput", "--verbosity=1")


def sent(response: Any) -> list[tuple[str, str]]:
    """The fields of a response, as a server sends them."""
    cookies = [("Set-Cookie", cookie.OutputString()) for cookie in response.cookies.values()]
    return [*response.items(), *cookies]


def answered(handler: Any, environ: Environ) -> Any:
    """What the client does with a request, instead of calling the handler: its response, with what arrived of it."""
    responses: list[Any] = []
    shared = connections.all(initialized_only=True)

    def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        for connection in shared:
            connections[connection.alias] = connection
        response = in_memory(handler, environ)
        responses.append(response)
        start_response(f"{response.status_code} {response.reason_phrase}", sent(response))
        return (piece for piece in response) if response.streaming else [response.content]

    for connection in shared:
        connection.inc_thread_sharing()
    try:
        answer = ask(app, environ)
    finally:
        for connection in shared:
            connection.dec_thread_sharing()
    assert responses, f"the application was never called: {answer.status} {answer.body!r}"
    return arrived(responses[0], answer)


def arrived(response: Any, answer: Answer) -> Any:
    """A response with the body that arrived; status and fields have to be its own."""
    assert answer.status.startswith(str(response.status_code))
    assert named(answer.fields) == named(sent(response))
    if response.streaming:
        response.streaming_content = [answer.body]
    else:
        response.content = answer.body
    return response


def named(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Fields in an order of their own."""
    return sorted((name.lower(), value) for name, value in fields)


def main() -> None:
    """Run the tests, which have no package around them."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    ClientHandler.__call__ = answered
    program = Path("tests/runtests.py").resolve()
    sys.path.insert(0, str(program.parent))
    sys.argv = [str(program), *OPTIONS, *sys.argv[1:]]
    try:
        runpy.run_path(str(program), run_name="__main__")
    finally:
        tell()


if __name__ == "__main__":
    main()
