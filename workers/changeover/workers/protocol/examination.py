"""What an examination tells: a process imports and starts an application, and says what that took and left."""

import enum

import msgspec

from changeover.workers.protocol.forking import Preload


class Examine(msgspec.Struct, frozen=True):
    """What to examine.

    Attributes:
        application: The application, as a zygote would preload it.
        root_path: Path under which a proxy mounts it.
        deadline: What the lifespan's startup, and its shutdown, have, in seconds.
    """

    application: Preload
    root_path: str = ""
    deadline: float = 60.0


class Kind(enum.Enum):
    """What an import left, by what sharing it with forked workers does."""

    SOCKET = "socket"
    LOOP = "event loop or selector"
    """epoll and its like: whoever waits on a shared one hears of what the others registered."""
    PIPE = "pipe"
    FILE = "file"
    """All who share it move one offset."""
    APPENDED = "file opened for appending"
    """Each write goes to its end, whoever writes: a log."""
    DEVICE = "device"
    PROCESS = "process"


class Left(msgspec.Struct, frozen=True):
    """Something that an import opened, or started, and that was still there at the end.

    Attributes:
        module: Whose import it was, the innermost.
        kind: What it is.
        what: Which one, for people (`TCP 127.0.0.1:40112 -> 127.0.0.1:6379`).
    """

    module: str
    kind: Kind
    what: str


class ModuleTime(msgspec.Struct, frozen=True):
    """How long a module took.

    Attributes:
        name: Its full name.
        own: Seconds of its own code, without what it imported.
    """

    name: str
    own: float


class Examination(msgspec.Struct, frozen=True):
    """The result.

    Attributes:
        failure: Why it could not be imported or started, in one line; empty when it could.
        imported: Seconds that the import took.
        started: Seconds that it took to make the instance and to run the lifespan's startup.
        modules: The modules that the import ran, slowest first.
        threads: Modules whose import started threads that live on.
        left: What else their imports left.
    """

    failure: str = ""
    imported: float = 0.0
    started: float = 0.0
    modules: tuple[ModuleTime, ...] = ()
    threads: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()
