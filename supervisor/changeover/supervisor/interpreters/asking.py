"""Asks an interpreter who it is, in a process of its own and within a deadline, as whom and where workers will run."""

import contextlib
import errno
import inspect
import os
import platform
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import FileIO

import msgspec

from changeover.supervisor.config.accounts import Account
from changeover.supervisor.interpreters import question
from changeover.supervisor.interpreters.answer import NEEDED, Answer, InterpreterUnfit, judged
from changeover.supervisor.interpreters.paths import OURS
from changeover.supervisor.release import VERSION
from changeover.workers.pinned.announced import announced
from changeover.workers.pinned.distributions import own_path
from changeover.workers.protocol.messages import PROTOCOL_VERSION
from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.snapshot import Interpreter

DEADLINE = 10.0
"""Seconds that an interpreter has to answer."""
KILLED = 2.0
"""Seconds that one has to be gone after it was killed; past that it is left behind."""
MOST = 64 * 1024
"""Bytes of an answer, or of what was said beside it: as many as a pipe holds while nobody reads."""

WANTED = "a Python, or the folder of a virtual environment"
"""What is to be named instead."""

# As it is when we begin: an upgrade in place changes what lies on disk.
_QUESTION = inspect.getsource(question)
_PASSING = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


@dataclass(frozen=True, slots=True)
class Interpreters:
    """The interpreters of this machine, as workers are executed by them. Every call blocks.

    Attributes:
        environment: All of the workers' environment.
        directory: Their working directory; None for ours.
        account: Whom they run as, None for ourselves.
        deadline: Seconds that an interpreter has to answer.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    directory: str | None = None
    account: Account | None = None
    deadline: float = DEADLINE

    def ask(self, python: str) -> Answer:
        """Find out that an interpreter can execute what serves; the supervisor's own is not asked.

        Args:
            python: Path of its executable.

        Raises:
            InterpreterUnfit: It cannot, or does not say.
        """
        if python == OURS:
            return own()
        return judged(python, _understood(python, *_said(python, self)), VERSION)

    def require(self, interpreter: Interpreter) -> Answer:
        """Find out that the interpreter of a generation can execute it still.

        Raises:
            InterpreterUnfit: It cannot, or is another version now.
        """
        answer = self.ask(interpreter.python)
        if answer.version != interpreter.version:
            was = f"was {interpreter.version} when what it is to serve was taken"
            raise InterpreterUnfit(
                interpreter.python, f"is Python {answer.version} now and {was}; `changeover reload` takes it"
            )
        return answer


def own() -> Answer:
    """What the supervisor's own interpreter would answer; where it looks is told as `OURS` is."""
    search = tuple(dict.fromkeys(map(os.path.realpath, own_path())))
    return Answer(
        platform.python_implementation(),
        platform.python_version(),
        (sys.version_info.major, sys.version_info.minor),
        protocol=PROTOCOL_VERSION,
        changeover=VERSION,
        search=search,
        plugins=announced(search),
    )


def _said(python: str, there: Interpreters) -> tuple[int, bytes, bytes]:
    """Its exit status, its answer, and what it wrote to stderr."""
    try:
        answer, answered = _pipe()
        errors, told = _pipe()
        with answer, answered, errors, told:
            status = _ended(_execute(python, there, answered, told), there.deadline)
            if status is None:
                reason = (
                    f"did not say within {there.deadline:g} s who it is: look at its sitecustomize and its .pth files"
                )
                raise InterpreterUnfit(python, reason, Fault.TIMEOUT)
            return status, answer.read(MOST) or b"", errors.read(MOST) or b""
    except OSError as error:
        fault = Fault.RESOURCE if error.errno in _PASSING else Fault.CONFIG
        raise InterpreterUnfit(python, f"cannot be executed: {error.strerror}; name {WANTED}", fault) from error


def _pipe() -> tuple[FileIO, FileIO]:
    """Its end to read, which never waits, and its end to write."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reading, False)
    return FileIO(reading), FileIO(writing, "w")


def _execute(python: str, there: Interpreters, answered: FileIO, told: FileIO) -> "subprocess.Popen[bytes]":
    account = there.account
    return subprocess.Popen(
        [python, "-c", _QUESTION, str(answered.fileno()), *NEEDED],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=told,
        cwd=there.directory,
        env={**there.environment, **(account.environment() if account else {}), "PYTHONSAFEPATH": "1"},
        pass_fds=(answered.fileno(),),
        start_new_session=True,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else account.groups,
    )


def _ended(process: "subprocess.Popen[bytes]", deadline: float) -> int | None:
    """Its exit status; None when it had to be killed, and what it started with it."""
    try:
        return process.wait() if _is_over(process, deadline) else None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if _is_over(process, KILLED):
                process.wait()


def _is_over(process: "subprocess.Popen[bytes]", within: float) -> bool:
    """Wait until it has ended; whether it did. It is not reaped, so that nobody else has its number."""
    pidfd = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(within * 1000))
    finally:
        os.close(pidfd)


def _understood(python: str, status: int, said: bytes, errors: bytes) -> Answer:
    try:
        return msgspec.json.decode(said, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        last = errors.decode("utf-8", "replace").strip().splitlines()[-1:]
        words = f": {last[0]}" if last else ""
        raise InterpreterUnfit(
            python, f"ended with status {status} and did not say who it is{words}; name {WANTED}"
        ) from error
