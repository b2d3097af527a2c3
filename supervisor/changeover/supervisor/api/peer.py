"""Who is at the other end of a control connection, as the kernel says."""

import asyncio
import os
import pwd
import socket
import struct
from typing import TYPE_CHECKING

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from changeover.supervisor.core.entries import Origin, Trigger

if TYPE_CHECKING:
    from starlette.requests import Request

CREDENTIALS = struct.Struct("3i")


class Peer(msgspec.Struct, frozen=True):
    """Credentials of a client at the moment it connected.

    Attributes:
        pid: Its process.
        uid: Its user.
        gid: Its group.
    """

    pid: int
    uid: int
    gid: int


NOBODY = Peer(pid=0, uid=-1, gid=-1)
"""A client whose credentials are not known (another kind of socket)."""


class PeerProtocol(HttpToolsProtocol):
    """Hands the credentials of each connection to its requests as `request.state.peer`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer": _credentials(transport.get_extra_info("socket"))}


def _credentials(sock: socket.socket | None) -> Peer:
    if sock is None or sock.family is not socket.AF_UNIX:
        return NOBODY
    return Peer(*CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)))


def may_choose_interpreter(request: "Request") -> bool:
    """Whether whoever asks may run programs as the supervisor's user anyhow."""
    peer: Peer = getattr(request.state, "peer", NOBODY)
    return peer.uid in (0, os.geteuid())


async def origin_of(request: "Request", label: str) -> Origin:
    """Say who asks for a cutover: the login name is looked up off the loop, because it may be on the network."""
    peer: Peer = getattr(request.state, "peer", NOBODY)
    name = await asyncio.to_thread(_login_name, peer.uid)
    command = request.headers.get("user-agent", "").startswith("changeover/")
    return Origin(Trigger.COMMAND if command else Trigger.API, user=name, uid=peer.uid, label=label)


def _login_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return ""
