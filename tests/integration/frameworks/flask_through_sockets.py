"""Runs Flask's own tests, and those of its examples, with a client that asks over sockets, through this data plane.

By itself their client calls the application. A program of its own, called with arguments of pytest in the folder of a
source distribution, or of an example in it.
"""

import sys
from collections.abc import Iterable
from typing import Any

import pytest
import werkzeug.test
from _pytest import monkeypatch
from werkzeug.datastructures import Headers

from changeover.workers.serving.wsgi import WsgiCallable
from tests.integration.frameworks.wsgi_over_sockets import ask, tell


def asked(app: WsgiCallable, environ: Any, buffered: bool = False) -> tuple[Iterable[bytes], str, Headers]:
    """What `werkzeug.test.run_wsgi_app` does, instead of calling the application."""
    answer = ask(app, dict(getattr(environ, "environ", environ)))
    return iter([answer.body]), answer.status, Headers(answer.fields)


def main() -> int:
    """Run the tests, which are in a package `tests` as this project's are."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.path.insert(0, "")
    werkzeug.test.run_wsgi_app = asked
    monkeypatch.notset = monkeypatch.NOTSET  # type: ignore[attr-defined] # as it was called when they were written
    status = pytest.main()
    tell()
    return status


if __name__ == "__main__":
    sys.exit(main())
