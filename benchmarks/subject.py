"""The server that is measured: started by its own command, in a folder of its own."""

import contextlib
import enum
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.contents import APPLICATION, Contents
from changeover.supervisor.api.client import Client, NoAnswer, ProblemAnswered
from changeover.supervisor.control import SlotState, StatusView
from changeover.workers.generation.cell import CommitCell, SharedCell

BOOT = 60.0
"""Seconds until every worker serves."""
STOP = 45.0
"""Seconds until a server that was told to leave is gone."""
COMMAND = str(Path(sys.executable).with_name("changeover"))

SETTINGS = """\
name = "bench"
bind = ["{host}:{port}"]
workers = {workers}
epoch_header = true
runtime_dir = "{folder}/run"
state_dir = "{folder}/state"
[plugins]
dir = "plugins"
"""
SETTINGS_OF_APPLICATION = """\
[app]
target = "application.main:app"
dir = "app"
[[pipelines]]
handlers = ["stamp:stamp"]
service = "app"
"""
STAMP = Path(__file__).parent / "plugins" / "stamp"


class Kind(enum.Enum):
    """What is replaced in a server."""

    PLUGIN = "plugin"
    APPLICATION = "application"


class LatestOf:
    """What was committed last, whichever part of a service reads it: at rest that is what all of it serves.

    Attributes:
        words: What each part reads.
    """

    def __init__(self, *words: CommitCell) -> None:
        self.words = words

    def read(self) -> int:
        """The latest epoch of all parts."""
        return max(word.read() for word in self.words)


class SubjectBroken(Exception):
    """The server that is measured did not do what it had to: there is nothing to measure."""


class Subject:
    """A running server.

    Attributes:
        folder: Where it lives: whoever belongs to it has that as current folder.
        address: Where it listens.
        count: How many workers it is to have.
        pid: The supervisor's.
        control: Asks it.
        contents: What is replaced in it.
        cell: Its commit cell.
        settings: The file of its settings.
    """

    def __init__(self, folder: Path, workers: int, kind: Kind, command: Sequence[str] = (COMMAND,)) -> None:
        self.folder = folder
        self.address = ("127.0.0.1", free_port())
        self.count = workers
        self._log = folder / "log"
        host, port = self.address
        settings = SETTINGS.format(host=host, port=port, workers=workers, folder=folder)
        if kind is Kind.APPLICATION:
            shutil.copytree(STAMP, folder / "plugins" / STAMP.name)
            self.contents = Contents(folder / "app", APPLICATION)
            settings += SETTINGS_OF_APPLICATION
        else:
            self.contents = Contents(folder / "plugins")
        self.settings = folder / "changeover.toml"
        self.settings.write_text(settings)
        self.control = Client(folder / "run" / "control.sock")
        self._cell_path = folder / "run" / "epoch.cell"
        self._family: tuple[tuple[int, int], ...] = ()
        self._command = (*command, "run")
        self.start()

    def start(self) -> None:
        """Start a supervisor: the first, or another one where the last is dead."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pid = self._process.pid

    def await_serving(self) -> None:
        """Return when every slot serves; fails with the server's own words."""
        until(self._serves, BOOT, lambda: f"no {self.count} workers serve\n{self.words()}")
        descriptor = os.open(self._cell_path, os.O_RDONLY)
        self.cell = LatestOf(SharedCell(descriptor), SharedCell(descriptor, 1))
        os.close(descriptor)
        self._family = tuple((pid, born(pid)) for pid in descendants(self.pid))

    @property
    def alive(self) -> bool:
        """Whether the supervisor lives."""
        return self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """How the supervisor ended, None while it lives."""
        return self._process.poll()

    @property
    def family(self) -> tuple[int, ...]:
        """The supervisor and everything below it, when all slots served for the first time."""
        return (self.pid, *(pid for pid, _ in self._family))

    def status(self) -> StatusView:
        """How it fares."""
        return self.control.get("/v1/status", StatusView)

    def workers(self) -> dict[int, int]:
        """Slot -> pid of its worker."""
        return {slot.slot: slot.pid for slot in self.status().slots}

    @property
    def alone(self) -> bool:
        """Whether only workers that serve the committed epoch are there: none that was replaced is left."""
        status = self.status()
        serving = [slot for slot in status.slots if slot.state is SlotState.SERVING and slot.epoch == status.epoch]
        return len(status.slots) == len(serving) == self.count

    def hang_up(self) -> None:
        """Send SIGHUP."""
        os.kill(self.pid, signal.SIGHUP)

    def kill_supervisor(self) -> None:
        """End the supervisor, and only it, as a crash would."""
        os.kill(self.pid, signal.SIGKILL)

    def end_supervisor(self) -> None:
        """Kill the supervisor, and only it, and wait until it is dead."""
        self._process.kill()
        self._process.wait(STOP)

    def words(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End it and everything that it or a former supervisor started."""
        self._family += tuple((pid, born(pid)) for pid in (*descendants(self.pid), *residents(self.folder)))
        self._process.terminate()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self._survivors():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(SubjectBroken):
                until(lambda: not self._survivors(), 10.0, str)

    def _survivors(self) -> list[int]:
        return [pid for pid, birth in self._family if born(pid) == birth]

    def _serves(self) -> bool:
        if self._process.poll() is not None:
            raise SubjectBroken(f"the server ended with status {self._process.returncode}\n{self.words()}")
        try:
            slots = self.status().slots
        except (NoAnswer, ProblemAnswered):
            return False
        serving = [slot for slot in slots if slot.state is SlotState.SERVING and slot.epoch]
        return len(serving) == self.count


@contextlib.contextmanager
def serving(workers: int = 4, kind: Kind = Kind.PLUGIN, command: Sequence[str] = (COMMAND,)) -> Iterator[Subject]:
    """Run a server with the probe plugin or the application; entered when all of its workers serve."""
    with tempfile.TemporaryDirectory(prefix="subject-") as folder:
        subject = Subject(Path(folder), workers, kind, command)
        try:
            subject.await_serving()
            yield subject
        finally:
            subject.stop()


def until(condition: Callable[[], bool], seconds: float, what: Callable[[], str], pause: float = 0.005) -> None:
    """Wait for a condition, looking every `pause` seconds.

    Raises:
        SubjectBroken: It does not hold within `seconds`.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SubjectBroken(f"not within {seconds:g} s: {what()}")
        time.sleep(pause)


def descendants(pid: int) -> tuple[int, ...]:
    """Every living process below `pid`."""
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in map(int, children.read_text().split()):
                found += (child, *descendants(child))
    return tuple(found)


def residents(folder: Path) -> tuple[int, ...]:
    """Every living process whose current folder this is, whoever started it."""
    found: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(process / "cwd") == str(folder):
                found.append(int(process.name))
    return tuple(found)


def born(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when there is none, or only its exit status is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])


def parent(pid: int) -> int:
    """The process that started `pid`; 0 when there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def title(pid: int) -> str:
    """What a process says it is; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
