"""Has a process of its own load a plugin, so that its code never runs in ours."""

import os
import signal
import subprocess
import sys

import msgspec

from changeover.supervisor.errors import SupervisorError
from changeover.workers.protocol.trial import PROGRAM, Trial, Tried

DEADLINE = 60.0
"""Seconds for all of it, as for a preflight."""
LONGEST = 1024 * 1024
"""Bytes that an answer may have."""


class NotTried(SupervisorError):
    """The process ended without an answer, or did not end.

    Attributes:
        reason: How.
        output: What it wrote.
    """

    def __init__(self, reason: str, output: str) -> None:
        self.reason = reason
        self.output = output
        super().__init__(reason)


def load(trial: Trial) -> tuple[Tried, str]:
    """Load a plugin elsewhere.

    Returns:
        How it went, and what the plugin wrote.

    Raises:
        NotTried: There is no answer.
    """
    asked = os.memfd_create("changeover-trial", os.MFD_CLOEXEC)
    answered = os.memfd_create("changeover-tried", os.MFD_CLOEXEC)
    try:
        os.write(asked, msgspec.msgpack.encode(trial))
        os.lseek(asked, 0, os.SEEK_SET)
        output = _run(asked, answered)
        os.lseek(answered, 0, os.SEEK_SET)
        return msgspec.msgpack.decode(os.read(answered, LONGEST), type=Tried), output
    except msgspec.DecodeError as error:
        raise NotTried(f"its process answered what cannot be read: {error}", "") from error
    finally:
        os.close(asked)
        os.close(answered)


def _run(asked: int, answered: int) -> str:
    with subprocess.Popen(
        (sys.executable, "-P", "-m", PROGRAM, str(asked), str(answered)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(asked, answered),
        start_new_session=True,
    ) as process:
        try:
            written, _ = process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            raise NotTried(f"it did not end within {DEADLINE:g} s", _text(error.output)) from None
    output = _text(written)
    if process.returncode < 0:
        raise NotTried(f"its process was ended by signal {-process.returncode}", output)
    if process.returncode:
        raise NotTried(f"its process ended with status {process.returncode}", output)
    return output


def _text(written: bytes | None) -> str:
    return (written or b"").decode(errors="replace")
