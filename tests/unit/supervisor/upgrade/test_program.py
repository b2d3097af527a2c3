"""What a program knows of itself."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from changeover.supervisor.upgrade.launch import Launch
from changeover.supervisor.upgrade.program import Program


def archives() -> list[str]:
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            links.append(os.readlink(entry))
    return [link for link in links if "changeover-program" in link]


async def test_a_program_is_kept_once_however_often_the_journal_refuses_a_term() -> None:
    program = Program(Launch.of_this_process(), None)
    for _ in range(3):
        program.keep()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait_for(asyncio.gather(*others), 30)
    assert len(archives()) == 1


async def test_what_could_not_be_kept_once_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise OSError("no space")

    program = Program(Launch.of_this_process(), None)
    with monkeypatch.context() as patched:
        patched.setattr("changeover.supervisor.upgrade.program.keep_program", full)
        with pytest.raises(OSError, match="no space"):
            await program._kept()
    os.close(await program._kept())
