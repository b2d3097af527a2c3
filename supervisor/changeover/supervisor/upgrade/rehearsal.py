"""Tries a program in a child before a supervisor becomes it: the running program's end of a rehearsal."""

import asyncio
import os
from pathlib import Path

import msgspec

from changeover.supervisor.upgrade.errors import ImageUnfit
from changeover.supervisor.upgrade.handed import Handed
from changeover.supervisor.upgrade.launch import Launch
from changeover.workers.protocol.messages import PROTOCOL_VERSION

TRIAL = "changeover.supervisor.upgrade.trial"
DEADLINE = 30.0
"""Seconds that the new program has to understand everything."""
MOST_SHOWN = 20
"""Lines of what it printed that are told."""


class Question(msgspec.Struct, frozen=True):
    """What the new program is to understand. Fields may be added with a default, and never change their meaning.

    Attributes:
        arguments: What was typed to start the service.
        journal: A copy of its journal.
        handed: What it would be handed, in JSON.
    """

    arguments: tuple[str, ...]
    journal: str
    handed: str


class Answer(msgspec.Struct, frozen=True):
    """That it does. Fields may be added with a default, and never change their meaning.

    Attributes:
        version: Of the new program.
        protocol: What it speaks with workers.
    """

    version: str
    protocol: int


async def rehearse(launch: Launch, python: str, journal: Path, handed: Handed) -> Answer:
    """Have the new program read the settings, a copy of the journal and what it would be handed.

    Args:
        launch: How the service was started.
        python: The interpreter that is to run it.
        journal: A copy of the journal; written to.
        handed: What it would be handed; nothing is.

    Raises:
        ImageUnfit: It does not run, does not understand, or speaks another protocol than our workers.
    """
    question = Question(launch.arguments, str(journal), msgspec.json.encode(handed).decode())
    said, printed = await _ask(launch, python, question)
    try:
        answer = msgspec.json.decode(said, type=Answer)
    except msgspec.DecodeError:
        raise ImageUnfit(python, printed or "it ended without a word") from None
    if answer.protocol != PROTOCOL_VERSION:
        raise ImageUnfit(
            python,
            f"version {answer.version} speaks protocol {answer.protocol} with workers, and those that serve speak "
            f"{PROTOCOL_VERSION}: stop the service and start it with the new version",
        )
    return answer


async def _ask(launch: Launch, python: str, question: Question) -> tuple[bytes, str]:
    asked = os.memfd_create("changeover-question", os.MFD_CLOEXEC)
    answered, answers = os.pipe()
    try:
        os.write(asked, msgspec.json.encode(question))
        os.lseek(asked, 0, os.SEEK_SET)
        try:
            process = await asyncio.create_subprocess_exec(
                *(python, "-P", "-m", TRIAL, str(asked), str(answers)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=launch.directory,
                env=launch.again(),
                pass_fds=(asked, answers),
            )
        except OSError as error:
            raise ImageUnfit(python, f"it cannot be executed: {error.strerror}") from error
        os.close(answers)
        answers = -1
        printed = await _end(process, python)
        os.set_blocking(answered, False)
        return _read(answered), printed
    finally:
        for fd in (asked, answered, answers):
            if fd >= 0:
                os.close(fd)


async def _end(process: asyncio.subprocess.Process, python: str) -> str:
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ImageUnfit(python, f"it did not understand everything within {DEADLINE:g} s") from None
    return "\n".join(printed.decode(errors="replace").strip().splitlines()[-MOST_SHOWN:])


def _read(pipe: int) -> bytes:
    try:
        return os.read(pipe, 65536)
    except BlockingIOError:
        return b""
