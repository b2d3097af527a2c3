"""Refuses to plugins, in a process that rehearses, what they were not granted: by Python's audit events.

What is watched is what Python code does by Python's own words for it. It is no sandbox: whoever means harm finds
other words. It tells whoever means none what a manifest has to ask for.
"""

import _posixsubprocess
import linecache
import os
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import msgspec
import uvloop

from changeover.workers.plugins.opened import OPENED, PREFIX, owner
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import UnitKey
from changeover.workers.runtime.landlock import DEVICES
from changeover.workers.serving.attribution import UnitWork, current_work

Arguments = tuple[Any, ...]
Told = Callable[[Arguments], str]
"""Reads what an event is about, for people; empty where it needs no capability."""

MOST = 100
"""How many refusals are kept: whoever tries again and again is known by then."""

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_IMPORTS = ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")
_STANDARD = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib"))
_INSTALLED = tuple(f"{sysconfig.get_path(name)}/" for name in ("purelib", "platlib"))
_OURS = "changeover."
_DIRECT = ("ctypes.dlsym",)
"""Events that are a plugin's doing only where no library is between: what a library does so, it may have loaded."""
_STREAMS = ("/dev/stdin", "/dev/stdout", "/dev/stderr")
_DESCRIPTORS = ("/dev/fd", "/proc/self/fd", "/proc/thread-self/fd")
"""Whose names are descriptors: whoever opened one was judged then."""


def watch(judged: Collection[UnitKey]) -> list[Refusal]:
    """Refuse, in this process and for good, whatever code of plugins was not granted: it gets a PermissionError.

    Args:
        judged: The units whose code that is. What serves already does as it does in workers.

    Returns:
        Receives what was refused, also where the plugin's code went on after it.
    """
    watched = _Watched(judged)
    sys.addaudithook(watched.heard)
    _posixsubprocess.fork_exec = _forking
    socket.socket.listen = _listening  # type: ignore[assignment, method-assign]
    return watched.refused


def blamed(refusal: Refusal | None, refused: Sequence[Refusal]) -> Refusal | None:
    """Why a candidate is refused: what it was not granted comes before what followed from that.

    Args:
        refusal: Why else; None where there is no other reason.
        refused: What `watch` received.
    """
    if not refused or (refusal is not None and refusal.unit != refused[0].unit):
        return refusal
    first = refused[0]
    if refusal is None:
        return first
    where, source = (first.where, first.source) if first.where else (refusal.where, refusal.source)
    return msgspec.structs.replace(refusal, fault=first.fault, summary=first.summary, where=where, source=source)


class _Watched:
    def __init__(self, judged: Collection[UnitKey]) -> None:
        self.refused: list[Refusal] = []
        self._judged = judged
        self._events = _events(_Files())

    def heard(self, event: str, arguments: Arguments) -> None:
        """Python's protocol for audit hooks."""
        watched = self._events.get(event)
        if watched is None:
            return
        capability, tell = watched
        told = tell(arguments)
        if not told:
            return
        work, frame = _whose(event, arguments)
        if work is None or work.granted is None or capability in work.granted or work.key not in self._judged:
            return
        plugin = work.name.rpartition(" ")[2]
        refusal = _refusal(f"{event}({told})", capability, plugin, work.name, frame)
        if len(self.refused) < MOST:
            self.refused.append(refusal)
        raise PermissionError(refusal.summary)


def _refusal(done: str, capability: str, plugin: str, unit: str, frame: FrameType | None) -> Refusal:
    reason = f"{done} takes the capability {capability}, which {plugin} was not granted"
    listed = f'["{capability}"]'
    advice = f"write `capabilities = {listed}` in its manifest, and `grant = {listed}` in [plugins.{plugin}]"
    where = source = ""
    if frame is not None:
        path, line = frame.f_code.co_filename, frame.f_lineno
        opened = owner(frame.f_globals.get("__name__", ""))
        where = f"{path.removeprefix(f'{opened.root}/') if opened else path}:{line}"
        source = linecache.getline(path, line).strip()
    return Refusal(Stage.PREFLIGHT, Fault.CAPABILITY, f"{reason}; {advice}", unit=unit, where=where, source=source)


def _whose(event: str, arguments: Arguments) -> tuple[UnitWork | None, FrameType | None]:
    """Which unit's doing it is, and the innermost frame of a plugin that tells so.

    The code that is nearest decides: a plugin's own, or that of a library which it calls. What a library does while it
    is imported, and what we do for a plugin, is nobody's.
    """
    if event == "import":
        return _owner_of_file(arguments[1]), None
    beyond = False
    for frame in _frames():
        name = frame.f_globals.get("__name__", "")
        if isinstance(name, str) and name.startswith(f"{PREFIX}.") and (opened := owner(name)) is not None:
            return (None, None) if beyond and event in _DIRECT else (opened.work, frame)
        if frame.f_code.co_filename in _IMPORTS:
            return None, None
        if not beyond and not _is_standard(frame.f_code.co_filename):
            if isinstance(name, str) and name.startswith(_OURS):
                return None, None
            beyond = True
    return None if event in _DIRECT else current_work.get(), None


def _owner_of_file(path: str) -> UnitWork | None:
    """Whose file it is: of several instances of one content the latest opens it."""
    opened = (each for each in reversed(list(OPENED.values())) if path.startswith(f"{each.root}/"))
    return next((each.work for each in opened), None)


def _frames() -> Iterator[FrameType]:
    """The stack from its innermost frame outwards, without this module's."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") != __name__:
            yield frame
        frame = frame.f_back


def _is_standard(filename: str) -> bool:
    return filename.startswith(("<frozen ", *_STANDARD)) and not filename.startswith(_INSTALLED)


class _Files:
    """Reads which files an event would change."""

    def __init__(self) -> None:
        self._temporary = os.path.realpath(tempfile.gettempdir())

    def opened(self, arguments: Arguments) -> str:
        """`open`: path, mode, flags."""
        path, _, flags = arguments[:3]
        return self._told(path) if isinstance(flags, int) and flags & _WRITES else ""

    def first(self, folder: int = -1) -> Told:
        """Events whose first argument is what they change, and one, the descriptor of a folder that it is below."""
        return lambda arguments: self._told(arguments[0], _folder(arguments, folder))

    def name(self, folder: int) -> Told:
        """As `first`, where the name itself is made or goes, and not what a link of that name leads to."""
        return lambda arguments: self._named(arguments[0], _folder(arguments, folder))

    def second(self, folder: int) -> Told:
        """As `name`, of the second argument."""
        return lambda arguments: self._named(arguments[1], _folder(arguments, folder))

    def both(self, arguments: Arguments) -> str:
        """`os.rename`, `os.link`: from, to, and the folders that they are below."""
        return self._named(arguments[0], arguments[2]) or self._named(arguments[1], arguments[3])

    def database(self, arguments: Arguments) -> str:
        """`sqlite3.connect`: a path, or what is no file."""
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], bytes | str | os.PathLike) else ""
        return "" if path in ("", ":memory:") or "mode=memory" in path else self._told(path.removeprefix("file:"))

    def _told(self, path: object, folder: int = -1) -> str:
        if not isinstance(path, bytes | str | os.PathLike):
            return ""  # a descriptor: whoever opened it was judged then
        name = os.path.join(_path_of(folder), os.fsdecode(path))
        is_open = name in _STREAMS or os.path.dirname(name) in _DESCRIPTORS
        return "" if is_open else self._outside(os.path.realpath(name))

    def _named(self, path: object, folder: int) -> str:
        if not isinstance(path, bytes | str | os.PathLike):
            return ""
        name = os.path.join(_path_of(folder), os.fsdecode(path))
        within, last = os.path.split(name.rstrip("/"))
        if last in ("", ".", ".."):
            return self._outside(os.path.realpath(name))
        return self._outside(os.path.join(os.path.realpath(within), last))

    def _outside(self, name: str) -> str:
        free = name in DEVICES or f"{name}/".startswith(f"{self._temporary}/")
        return "" if free else repr(name)


def _folder(arguments: Arguments, index: int) -> int:
    return arguments[index] if 0 <= index < len(arguments) and isinstance(arguments[index], int) else -1


def _path_of(folder: int) -> str:
    return "" if folder < 0 else os.readlink(f"/proc/self/fd/{folder}")


def _events(files: _Files) -> Mapping[str, tuple[str, Told]]:
    """Event -> the capability that it takes, and what reads it."""
    net = ("net", lambda arguments: ", ".join(repr(each) for each in arguments if _is_address(each)))
    started = ("exec", lambda arguments: repr(arguments[0]) if arguments else "...")
    return {
        "socket.connect": ("net", _to),
        "socket.bind": ("net", _to),
        "socket.listen": ("net", _to),
        "socket.sendto": ("net", _to),
        "socket.sendmsg": ("net", _to),
        **dict.fromkeys(("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"), net),
        "socket.getnameinfo": net,
        "open": ("write", files.opened),
        "os.remove": ("write", files.name(1)),
        "os.rmdir": ("write", files.name(1)),
        "os.mkdir": ("write", files.name(2)),
        "os.chmod": ("write", files.first(2)),
        "os.chown": ("write", files.first(3)),
        "os.utime": ("write", files.first(3)),
        "os.symlink": ("write", files.second(2)),
        "os.rename": ("write", files.both),
        "os.link": ("write", files.both),
        **dict.fromkeys(("os.truncate", "os.setxattr", "os.removexattr"), ("write", files.first())),
        "sqlite3.connect": ("write", files.database),
        **dict.fromkeys(("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system"), started),
        **dict.fromkeys(("os.fork", "os.forkpty", "_posixsubprocess.fork_exec"), started),
        "ctypes.dlopen": ("native", lambda arguments: repr(arguments[0])),
        "ctypes.dlsym": ("native", _symbol),
        "import": ("native", lambda arguments: repr(arguments[1]) if isinstance(arguments[1], str) else ""),
    }


def _to(arguments: Arguments) -> str:
    """Events about a socket and an address; one without an address goes where it was connected to."""
    return "" if arguments[1] is None else repr(arguments[1])


def _symbol(arguments: Arguments) -> str:
    """`ctypes.dlsym`: a library, and a name; whoever opened another one than the process itself was judged."""
    library, name = arguments
    return repr(name) if getattr(library, "_name", "") is None else ""


def _is_address(argument: object) -> bool:
    return isinstance(argument, bytes | str | tuple)


_fork_exec = _posixsubprocess.fork_exec


def _forking(arguments: Any, *further: Any) -> int:
    """Start a program as `multiprocessing` does where it does not fork, which raises no event of its own."""
    sys.audit("_posixsubprocess.fork_exec", arguments)
    return _fork_exec(arguments, *further)


def _listening(listener: socket.socket, *backlog: int) -> None:
    """As `socket.listen`, which raises no event: one that was not bound listens to everybody."""
    _audit_unbound(listener)
    super(socket.socket, listener).listen(*backlog)


def _audit_unbound(listener: socket.socket) -> None:
    if listener.family in (socket.AF_INET, socket.AF_INET6) and not (address := listener.getsockname())[1]:
        sys.audit("socket.listen", listener, address)


class WatchedLoop(uvloop.Loop):
    """The loop of workers, which raises the audit events that libuv does not: it connects and starts programs in C."""

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        """As in asyncio."""
        if options.get("sock") is None:
            sys.audit("socket.connect", None, (host, port))
        return await super().create_connection(protocol_factory, host, port, **options)

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        """As in asyncio."""
        if options.get("sock") is None:
            sys.audit("socket.bind", None, (host, port))
        else:
            _audit_unbound(options["sock"])
        return await super().create_server(protocol_factory, host, port, **options)

    async def create_unix_connection(self, protocol_factory: Any, path: Any = None, **options: Any) -> Any:
        """As in asyncio."""
        if options.get("sock") is None:
            sys.audit("socket.connect", None, path)
        return await super().create_unix_connection(protocol_factory, path, **options)

    async def create_unix_server(self, protocol_factory: Any, path: Any = None, **options: Any) -> Any:
        """As in asyncio."""
        if options.get("sock") is None:
            sys.audit("socket.bind", None, path)
        return await super().create_unix_server(protocol_factory, path, **options)

    async def create_datagram_endpoint(
        self, protocol_factory: Any, local_addr: Any = None, remote_addr: Any = None, **options: Any
    ) -> Any:
        """As in asyncio."""
        if options.get("sock") is None:
            sys.audit("socket.connect" if remote_addr else "socket.bind", None, remote_addr or local_addr or ("", 0))
        return await super().create_datagram_endpoint(protocol_factory, local_addr, remote_addr, **options)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """As in asyncio."""
        sys.audit("socket.getaddrinfo", host, port)
        return await super().getaddrinfo(host, port, **options)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> Any:
        """As in asyncio."""
        sys.audit("socket.getnameinfo", sockaddr)
        return await super().getnameinfo(sockaddr, flags)

    async def subprocess_exec(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        """As in asyncio."""
        sys.audit("subprocess.Popen", next(iter(args), ""), args, None, None)
        return await super().subprocess_exec(protocol_factory, *args, **options)

    async def subprocess_shell(self, protocol_factory: Any, cmd: Any, **options: Any) -> Any:
        """As in asyncio."""
        sys.audit("subprocess.Popen", cmd, (), None, None)
        return await super().subprocess_shell(protocol_factory, cmd, **options)
