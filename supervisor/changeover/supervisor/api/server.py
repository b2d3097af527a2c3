"""The control socket: a uvicorn inside the supervisor's loop that can fail without taking anything with it."""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from anyio.lowlevel import checkpoint
from starlette.types import ASGIApp

from changeover.supervisor.api.peer import PeerProtocol
from changeover.supervisor.errors import SupervisorError

MODE = 0o660
BACKLOG = 64
GRACE = 2
"""Seconds that answers under way have left when the server stops."""


class ControlSocketUnserved(SupervisorError):
    """The control socket cannot be served; everything else goes on.

    Attributes:
        path: The socket.
        reason: What is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"the control socket {path} is not served: {reason}; requests are served on, and signals work "
            "(kill -HUP to reload, -TERM to stop)"
        )


class ControlSocket:
    """Serves an application on a Unix socket until it is stopped.

    Args:
        app: What answers.
        path: Where to bind; a socket that is there already is replaced (the runtime directory is locked by then).
        alarm: Told, at most once, when the socket cannot be served or ceases to be.
        inherited: Descriptor of the listening socket that this process had before it was executed anew; whoever
            connected in between is answered.
    """

    def __init__(
        self, app: ASGIApp, path: Path, alarm: Callable[[ControlSocketUnserved], None], inherited: int = -1
    ) -> None:
        self._app = app
        self._path = path
        self._alarm = alarm
        self._inherited = inherited
        self._listening: socket.socket | None = None
        self._server: _EmbeddedServer | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bind and serve. Never raises for what is wrong with the socket: the alarm hears it."""
        await checkpoint()  # imports what streams need: the first of them would, and keep the loop from running for it
        try:
            sock = _bind(self._path) if self._inherited < 0 else socket.socket(fileno=self._inherited)
        except OSError as error:
            self._alarm(ControlSocketUnserved(self._path, str(error)))
            return
        self._listening = sock
        self._server = _EmbeddedServer(_configuration(self._app))
        self._serving = asyncio.create_task(self._serve(self._server, sock), name="control socket")
        await self._server.settled.wait()

    @property
    def descriptor(self) -> int:
        """Of the listening socket; -1 when it is not served."""
        return -1 if self._listening is None else self._listening.fileno()

    async def stop(self) -> None:
        """Let answers under way finish for a moment, then be gone; the socket is removed."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        done, _ = await asyncio.wait({self._serving}, timeout=2 * GRACE + 1)
        if not done:
            self._serving.cancel()
            await asyncio.wait({self._serving}, timeout=GRACE)
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    async def _serve(self, server: "_EmbeddedServer", sock: socket.socket) -> None:
        reason = "its server ended"
        try:
            await server.serve(sockets=[sock])
        except SystemExit as error:
            reason = f"its server gave up with status {error.code}"
        except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor must outlive it, and the alarm tells it
            reason = f"its server failed: {error!r}"
        finally:
            sock.close()
            server.settled.set()
        if not server.should_exit:
            self._alarm(ControlSocketUnserved(self._path, reason))


class _EmbeddedServer(uvicorn.Server):
    """Signals stay the supervisor's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.settled.set()


def _configuration(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=PeerProtocol,
        ws="none",
        loop="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
        backlog=BACKLOG,
    )


def _bind(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        os.chmod(path, MODE)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
