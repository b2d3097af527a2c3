"""The servers that are compared, each started by its own command in a folder of its own."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks.contents import APPLICATION, Contents
from benchmarks.household import Process, below
from benchmarks.subject import SubjectBroken, free_port, until
from benchmarks.visitors import ask
from changeover.supervisor.api.client import SOCKET_NAME, Client

BOOT = 60.0
"""Seconds until a server answers."""
STOP = 15.0
"""Seconds until one that was told to leave is gone; it is killed then."""
KEEP_ALIVE = 75
"""Seconds for which each keeps an idle connection, so that none closes one of the load's by its own clock."""


class Command(msgspec.Struct, frozen=True):
    """How one server is started.

    Attributes:
        name: For people.
        words: Its command; `{port}`, `{workers}`, `{package}` and `{app}` are filled in.
    """

    name: str
    words: tuple[str, ...]


_GUNICORN = (
    *("gunicorn", "{app}", "-b", "127.0.0.1:{port}", "-w", "{workers}", "--keep-alive", f"{KEEP_ALIVE}"),
    "--no-control-socket",
)
CHANGEOVER = Command(
    "changeover",
    (
        *("changeover", "run", "{app}", "-b", "127.0.0.1:{port}", "-w", "{workers}", "--keep-alive", f"{KEEP_ALIVE}"),
        *("--state-dir", "../state", "--runtime-dir", "../run", "--log-format", "text"),
    ),
)
GUNICORN_UVICORN = Command("gunicorn, uvicorn worker", (*_GUNICORN, "-k", "uvicorn_worker.UvicornWorker"))
GUNICORN_ASGI = Command("gunicorn, asgi worker", (*_GUNICORN, "-k", "asgi"))
GUNICORN_PRELOADED = Command("gunicorn --preload, uvicorn worker", (*GUNICORN_UVICORN.words, "--preload"))
GUNICORN_ASGI_PRELOADED = Command("gunicorn --preload, asgi worker", (*GUNICORN_ASGI.words, "--preload"))
UVICORN = Command(
    "uvicorn --workers",
    (
        *("uvicorn", "{app}", "--host", "127.0.0.1", "--port", "{port}", "--workers", "{workers}"),
        *("--timeout-keep-alive", f"{KEEP_ALIVE}", "--no-access-log"),
    ),
)
GRANIAN = Command(
    "granian",
    (
        *("granian", "{app}", "--host", "127.0.0.1", "--port", "{port}", "--workers", "{workers}"),
        *("--interface", "asgi", "--loop", "uvloop"),
    ),
)
HYPERCORN = Command(
    "hypercorn",
    (
        *("hypercorn", "{app}", "-b", "127.0.0.1:{port}", "-w", "{workers}"),
        *("-k", "uvloop", "--keep-alive", f"{KEEP_ALIVE}"),
    ),
)


class Server:
    """One running server.

    Attributes:
        command: How it was started.
        address: Where it listens.
        pid: Of the process that was started.
        contents: Its application.
        control: Asks it, where it is ours.
    """

    def __init__(self, folder: Path, binaries: Path, command: Command, workers: int, original: Path) -> None:
        self.command = command
        self.address = ("127.0.0.1", free_port())
        self.contents = Contents(folder / "app", original)
        self.control = Client(folder / "run" / SOCKET_NAME)
        self._log = folder / "log"
        app = f"{original.name}.main:app"
        filled = {"port": self.address[1], "workers": workers, "package": original.name, "app": app}
        program, *words = (word.format_map(filled) for word in command.words)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [binaries / program, *words],
                cwd=folder / "app",
                env={**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._family: set[Process] = set()

    @property
    def status(self) -> int | None:
        """Its exit status, None while it lives."""
        return self._process.poll()

    def await_answers(self, path: str = "/fast") -> None:
        """Return when it answers.

        Raises:
            SubjectBroken: It does not, or ends; in its own words.
        """

        def answers() -> bool:
            if self.status is not None:
                raise SubjectBroken(f"{self.command.name} ended with status {self.status}\n{self.words()}")
            with contextlib.suppress(OSError, SubjectBroken):
                return ask(self.address, path).status == 200
            return False

        until(answers, BOOT, lambda: f"{self.command.name} does not answer\n{self.words()}", pause=0.05)
        self._remember()

    def hang_up(self) -> None:
        """Send SIGHUP."""
        self._remember()
        os.kill(self.pid, signal.SIGHUP)

    def words(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End it and everything that it started."""
        self._remember()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP)
        self._remember()
        self._process.kill()
        self._process.wait(STOP)
        for process in self._family:
            process.kill()

    def _remember(self) -> None:
        self._family |= set(below(self.pid))


@contextlib.contextmanager
def served(binaries: Path, command: Command, workers: int, original: Path = APPLICATION) -> Iterator[Server]:
    """Run one of the servers; entered when it answers."""
    with tempfile.TemporaryDirectory(prefix="server-") as folder:
        server = Server(Path(folder), binaries, command, workers, original)
        try:
            server.await_answers()
            yield server
        finally:
            server.stop()


def settled(server: Server, marker: str, seconds: float, deadline: float) -> float:
    """Connect anew again and again until only `marker` has answered for `seconds`; says when that began.

    Raises:
        SubjectBroken: Not within `deadline` seconds.
    """
    since = time.monotonic()
    end = since + deadline
    while time.monotonic() - since < seconds:
        if time.monotonic() > end:
            raise SubjectBroken(f"{server.command.name} does not serve {marker} alone\n{server.words()}")
        time.sleep(0.025)
        try:
            if f"marker={marker}\n".encode() not in ask(server.address, "/fast").body:
                since = time.monotonic()
        except (OSError, SubjectBroken):
            since = time.monotonic()
    return since
