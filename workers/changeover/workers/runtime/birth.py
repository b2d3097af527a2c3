"""From fork to entry: how a worker becomes a process of its own."""

import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import msgspec
import setproctitle

from changeover.workers.protocol.phrase import worker_phrase
from changeover.workers.runtime.settings import Birth
from changeover.workers.runtime.stacks import write_when_asked

Entry = Callable[[Birth], int]
"""What a worker runs: takes its birth, returns its exit status."""

NEWBORN_SIGNALS: Mapping[signal.Signals, signal.Handlers] = MappingProxyType(
    {
        signal.SIGHUP: signal.SIG_IGN,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGINT: signal.SIG_IGN,
        signal.SIGQUIT: signal.SIG_DFL,
        signal.SIGTTIN: signal.SIG_IGN,
        signal.SIGTTOU: signal.SIG_IGN,
        signal.SIGUSR1: signal.SIG_IGN,
        signal.SIGUSR2: signal.SIG_IGN,
        signal.SIGWINCH: signal.SIG_IGN,
        signal.SIGCHLD: signal.SIG_DFL,
        signal.SIGPIPE: signal.SIG_IGN,
    }
)
"""What signals do to a worker until it installs its own handlers: what would end it politely ends it at once."""


_births = msgspec.msgpack.Decoder(Birth)


class Womb(msgspec.Struct, frozen=True):
    """What a newborn gets from its zygote.

    Attributes:
        birth: Its `Birth`, MessagePack.
        go: Pipe to read one byte from before it begins; its end means that nobody holds this worker.
        stacks: Descriptor of its stacks file.
        foreign: Descriptors of the zygote's own, to be closed.
    """

    birth: bytes
    go: int
    stacks: int
    foreign: tuple[int, ...]


def entry_named(name: str) -> Entry:
    """Import an entry.

    Args:
        name: `module:function`.
    """
    entry: Entry = function_named(name)
    return entry


def function_named(name: str) -> Callable[..., Any]:
    """Import a function.

    Args:
        name: `module:function`.
    """
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def live(womb: Womb, entry: Entry) -> NoReturn:
    """Run a newborn's whole life in the forked child; signals are blocked when it is called."""
    status = 1
    try:
        detach(womb)
        birth = msgspec.structs.replace(_births.decode(womb.birth), stacks=womb.stacks)
        setproctitle.setproctitle(worker_phrase(birth.settings.name, birth.worker.slot, "booting"))
        status = entry(birth) if _wanted(womb.go) else 0
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001 - this frame is the process: nobody is left to tell but stderr
        traceback.print_exc()
    finally:
        leave(status)


def detach(womb: Womb) -> None:
    """Give back what is the zygote's, and take signals as a process of its own."""
    signal.set_wakeup_fd(-1)
    for fd in womb.foreign:
        os.close(fd)
    os.setsid()
    write_when_asked(womb.stacks)
    for signum, disposition in NEWBORN_SIGNALS.items():
        signal.signal(signum, disposition)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    gc.enable()


def leave(status: int) -> NoReturn:
    """End this process with what was written written, and no exit handler of the zygote's run."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(status & 0xFF)


def _wanted(go: int) -> bool:
    try:
        return os.read(go, 1) != b""
    finally:
        os.close(go)
