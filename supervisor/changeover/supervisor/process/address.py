"""Addresses to listen on, as people write them: `shop:8000`, `unix:/run/shop.sock`, `fd://3`, `fd://web`. Pure."""

import re

import msgspec

from changeover.supervisor.process.errors import ProcessError

DEFAULT_PORT = 8000
DEFAULT_UNIX_MODE = 0o666
HIGHEST_DESCRIPTOR = 2**31 - 1


class BadAddress(ProcessError):
    """Text that names no address.

    Attributes:
        text: What was written.
    """

    def __init__(self, text: str, reason: str) -> None:
        self.text = text
        super().__init__(f"{text!r} is no address to listen on: {reason}")


class TcpAddress(msgspec.Struct, frozen=True):
    """A host and a port.

    Attributes:
        host: Numeric address or name; `*` is every address, IPv6 and IPv4, `` is every IPv4 address.
        port: 0 lets the kernel choose.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UnixAddress(msgspec.Struct, frozen=True):
    """A path, and the permissions of the socket at it."""

    path: str
    mode: int = DEFAULT_UNIX_MODE

    def __str__(self) -> str:
        return f"unix:{self.path}"


class FdAddress(msgspec.Struct, frozen=True):
    """A listening socket that whoever started us left open."""

    fd: int

    def __str__(self) -> str:
        return f"fd://{self.fd}"


class PassedAddress(msgspec.Struct, frozen=True):
    """Listening sockets that a service manager passed under a name (`FileDescriptorName=`)."""

    name: str

    def __str__(self) -> str:
        return f"fd://{self.name}"


Address = TcpAddress | UnixAddress | FdAddress | PassedAddress

_UNIX = re.compile(r"unix:(?://)?(?P<path>[^?]+)(?:\?mode=(?P<mode>[0-7]{3,4}))?$")
_BRACKETED = re.compile(r"\[(?P<host>[^\]]+)\](?::(?P<port>\d+))?$")
_PASSED = re.compile(r"[^:/\s-][^:/\s]*")
_PLAIN = re.compile(r"(?P<host>[^:/\s]*)(?::(?P<port>\d+))?$")


def parse_address(text: str) -> Address:
    """Read an address.

    Raises:
        BadAddress: `text` is none.
    """
    if "\0" in text:
        raise BadAddress(text, "it has a null character")
    if text.startswith("unix:"):
        return _parse_unix(text)
    if text.startswith("fd://"):
        return _parse_fd(text)
    found = _BRACKETED.match(text) or _PLAIN.match(text)
    if found is None or not text:
        hint = f"write an IPv6 address in brackets: [{text}]:8000" if text.count(":") > 1 else "write HOST:PORT"
        raise BadAddress(text, hint)
    port = int(found["port"] or DEFAULT_PORT)
    if port > 65535:
        raise BadAddress(text, "a port is at most 65535")
    return TcpAddress(found["host"], port)


def _parse_unix(text: str) -> UnixAddress:
    found = _UNIX.match(text)
    if found is None:
        raise BadAddress(text, "write unix:/path or unix:/path?mode=660")
    return UnixAddress(found["path"], int(found["mode"], 8) if found["mode"] else DEFAULT_UNIX_MODE)


def _parse_fd(text: str) -> FdAddress | PassedAddress:
    named = text.removeprefix("fd://")
    if named.isascii() and named.isdigit():
        if int(named) > HIGHEST_DESCRIPTOR:
            raise BadAddress(text, "no descriptor has so high a number")
        return FdAddress(int(named))
    if not _PASSED.fullmatch(named):
        raise BadAddress(text, "write fd://N with the number of an open descriptor, or fd://NAME as it was passed")
    return PassedAddress(named)
