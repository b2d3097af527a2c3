"""The environ of a request to a WSGI application (PEP 3333), and what comes with it."""

import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

from changeover.workers.serving.contract import CallContext, Request
from changeover.workers.serving.message import LONGEST_KNOWN

Environ = dict[str, Any]

BLOCK = 64 * 1024
"""Least bytes that are read of a file at once."""
KNOWN_NAMES = 1024
"""Names of fields that are remembered with their variables."""

KNOWN_WAYS = 64
"""Ways on which requests come, address by address say, that are remembered with what all on one have in common."""
KNOWN_HEADS = 128
"""Heads of requests that are remembered with their environ."""
LONGEST_HEAD = 1024
"""Bytes of the longest of them."""

_OWN = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}
_PORTS = {"http": "80", "https": "443"}
_variables: dict[bytes, str | None] = {}
"""What was learnt, in all threads: any of them may forget it all between two looks of another."""
_UNKNOWN = ""


class FileWrapper:
    """`wsgi.file_wrapper`: reads a file in blocks until its end.

    Args:
        file: What is read; closed in the end, if it can be.
        block: Bytes of a block; larger ones are taken where that is small.

    Attributes:
        close: The file's own, where it has one.
    """

    def __init__(self, file: BinaryIO, block: int = BLOCK) -> None:
        self._file = file
        self._block = max(block, BLOCK)
        if hasattr(file, "close"):
            self.close: Callable[[], None] = file.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self._file.read(self._block)
        if not piece:
            raise StopIteration
        return piece

    def regular(self) -> io.FileIO | io.BufferedReader | None:
        """The file, where it is one on a disk and nothing else, so that somebody else may read on; otherwise None."""
        file = self._file
        raw = file.raw if type(file) is io.BufferedReader else file
        if type(raw) is not io.FileIO or not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            return None
        return raw if type(file) is io.FileIO else file  # type: ignore[return-value] # it is a BufferedReader then


class Environs:
    """Makes the environs of one application.

    Args:
        root_path: Prefix that a proxy in front strips.
        multithread: Whether requests run in several threads at the same time.
    """

    __slots__ = ("_begun", "_fixed", "_known", "_root")

    def __init__(self, root_path: str, *, multithread: bool) -> None:
        self._root = root_path
        self._fixed: Environ = {
            "SERVER_SOFTWARE": "changeover",
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": multithread,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": FileWrapper,
        }
        self._begun: dict[tuple[object, ...], Environ] = {}
        self._known: dict[tuple[object, ...], Environ] = {}

    def make(self, request: Request, call: CallContext) -> Environ:
        """The environ of one request, without `wsgi.input`; one of a request like a recent one costs little."""
        way = (request.server, request.scheme, request.http_version, request.root_path)
        key = (way, request.method, request.path, request.raw_path, request.query, *request.headers.raw)
        try:
            known = self._known.get(key)
        except TypeError:  # a handler's list instead of a tuple: legal, and nothing to remember by
            known = self._read(request, way)
        environ = (known or self._learn(key, self._read(request, way))).copy()
        if request.client is None:
            environ["REMOTE_ADDR"] = ""
        else:
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = request.client[0], str(request.client[1])
        if call.extensions:
            environ["changeover.extensions"] = call.extensions
        return environ

    def _learn(self, key: tuple[object, ...], environ: Environ) -> Environ:
        if _is_plain(key) and _length_of(key) <= LONGEST_HEAD:
            if len(self._known) >= KNOWN_HEADS:
                self._known.clear()
            self._known[key] = environ
        return environ

    def _read(self, request: Request, way: tuple[object, ...]) -> Environ:
        """What the environs of all requests with that head have in common."""
        environ = (self._begun.get(way) or self._begin(way, request)).copy()
        raw, query = request.raw_path.decode("latin-1"), request.query.decode("latin-1")
        environ["REQUEST_METHOD"] = request.method
        environ["PATH_INFO"] = _path(request)
        environ["QUERY_STRING"] = query
        environ["RAW_URI"] = environ["REQUEST_URI"] = f"{raw}?{query}" if query else raw
        _add_fields(environ, request.headers.raw)
        if "SERVER_NAME" not in environ:
            environ["SERVER_NAME"], environ["SERVER_PORT"] = _named_server(environ, request.scheme)
        return environ

    def _begin(self, way: tuple[object, ...], request: Request) -> Environ:
        """What all requests have in common that come that way."""
        environ = self._fixed.copy()
        environ["SCRIPT_NAME"] = _native(self._root + request.root_path)
        environ["SERVER_PROTOCOL"] = f"HTTP/{request.http_version}"
        environ["wsgi.url_scheme"] = request.scheme
        if request.server is not None and request.server[1] is not None:
            environ["SERVER_NAME"], environ["SERVER_PORT"] = request.server[0], str(request.server[1])
        if len(self._begun) >= KNOWN_WAYS:
            self._begun.clear()
        self._begun[way] = environ
        return environ


def _is_plain(key: object) -> bool:
    """Whether nothing in it is of a class that a handler has made, which would be kept with it."""
    if type(key) is tuple:
        return all(map(_is_plain, key))
    return key is None or type(key) in (str, bytes, int)


def _length_of(part: object) -> int:
    if isinstance(part, tuple):
        return sum(map(_length_of, part))
    return len(part) if isinstance(part, str | bytes) else 0


def _add_fields(environ: Environ, fields: list[tuple[bytes, bytes]]) -> None:
    for name, value in fields:
        variable = _variables.get(name, _UNKNOWN)
        if variable == _UNKNOWN:
            variable = _learn(name)
        if variable is None:
            continue
        text = value.decode("latin-1")
        if variable in environ:
            text = f"{environ[variable]}{'; ' if variable == 'HTTP_COOKIE' else ','}{text}"
        environ[variable] = text


def _learn(name: bytes) -> str | None:
    """A field's variable; none for a name with an underscore, which would pass for another field."""
    variable = _OWN.get(name)
    if variable is None and b"_" not in name:
        variable = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
    if len(name) <= LONGEST_KNOWN:
        if len(_variables) >= KNOWN_NAMES:
            _variables.clear()
        _variables[name] = variable
    return variable


def _path(request: Request) -> str:
    path = request.path
    if "\ufffd" in path:  # bytes that are no UTF-8: only the raw path still has them
        exact = unquote_to_bytes(request.raw_path).decode("latin-1")
        return exact.removeprefix(_native(request.root_path))
    return _native(path)


def _native(text: str) -> str:
    """UTF-8, each byte of it as one character: what PEP 3333 calls a native string."""
    return text if text.isascii() else text.encode().decode("latin-1")


def _named_server(environ: Environ, scheme: str) -> tuple[str, str]:
    """Name and port by which the client knows the server, behind a Unix socket say."""
    host: str = environ.get("HTTP_HOST", "")
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = host, ""
    return name or "localhost", port or _PORTS.get(scheme, "80")
