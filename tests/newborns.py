"""Entries that stand in for the worker's own in tests of the zygote: tiny programs, one behaviour each."""

import gc
import os
import signal
import sys
import threading
from pathlib import Path

import msgspec

from changeover.workers.runtime.settings import Birth

SCRATCH = "CHANGEOVER_TEST_SCRATCH"


class Note(msgspec.Struct, frozen=True):
    """What a newborn finds when it begins."""

    pid: int
    session: int
    nonce: str
    slots: int
    descriptors: dict[int, str]
    modules: tuple[str, ...]
    threads: int
    frozen: int
    ignores_hangup: bool


def note_of(scratch: Path, incarnation: int) -> Path:
    """Where a newborn leaves its note."""
    return scratch / f"born-{incarnation}"


def serve(birth: Birth) -> int:
    """Leave a note, wait for TERM, exit with 7."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    _leave_note(birth)
    signal.sigwait({signal.SIGTERM})
    return 7


def raise_error(birth: Birth) -> int:
    """Fail as an entry with a bug does."""
    raise RuntimeError(f"newborn {birth.worker.incarnation} failed")


def loop_for_ever(birth: Birth) -> int:
    """Never come back, and never look at a signal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    _leave_note(birth)
    while True:
        pass


def fault(birth: Birth) -> int:
    """End as C code does that follows a bad pointer."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def _leave_note(birth: Birth) -> None:
    links = {int(name): _link(name) for name in os.listdir("/proc/self/fd")}
    note = Note(
        pid=os.getpid(),
        session=os.getsid(0),
        nonce=birth.nonce,
        slots=birth.settings.slots,
        descriptors={fd: link for fd, link in links.items() if link},
        modules=tuple(sorted(sys.modules)),
        threads=threading.active_count(),
        frozen=gc.get_freeze_count(),
        ignores_hangup=signal.getsignal(signal.SIGHUP) is signal.SIG_IGN,
    )
    path = note_of(Path(os.environ[SCRATCH]), birth.worker.incarnation)
    draft = path.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(note))
    draft.rename(path)


def _link(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""
