"""Server hooks that are functions: imported beside the loop, and within the deadline."""

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from changeover.workers.protocol.identity import WorkerId
from changeover.workers.runtime.server_hooks import ServerHooks
from changeover.workers.runtime.settings import Birth, WorkerHooks, WorkerSettings
from tests.waits import until

SLOW = """
import threading

from gate_of_slow_hooks import gate

gate.began.set()
assert gate.opened.wait(20), "nobody let the import go on"


def note(told):
    gate.heard.append((told["hook"], threading.current_thread() is threading.main_thread()))


async def note_async(told):
    note(told)
"""


class Gate:
    """What holds up the import of a module.

    Attributes:
        began: The import has begun.
        opened: It may go on.
        heard: Which hooks ran, and whether in the main thread.
    """

    def __init__(self) -> None:
        self.began = threading.Event()
        self.opened = threading.Event()
        self.heard: list[tuple[str, bool]] = []


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A module `slow_hooks` whose import waits at the gate."""
    gate, door = Gate(), ModuleType("gate_of_slow_hooks")
    vars(door)["gate"] = gate
    monkeypatch.setitem(sys.modules, door.__name__, door)
    (tmp_path / "slow_hooks.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(threading.enumerate())
    yield gate
    gate.opened.set()
    for thread in set(threading.enumerate()) - before:
        if thread.name == "changeover-loader":
            thread.join(20)
            assert not thread.is_alive()
    sys.modules.pop("slow_hooks", None)


def hooks(deadline: float, **named: str) -> ServerHooks:
    settings = WorkerSettings("story", "", "", 1, hooks=WorkerHooks(deadline=deadline, **named))
    return ServerHooks(Birth(WorkerId(1, 0, 1), "nonce", "journal", 1, settings))


@pytest.mark.parametrize(("function", "on_loop"), [("note", False), ("note_async", True)])
async def test_the_loop_goes_on_while_a_hook_is_imported(gate: Gate, function: str, on_loop: bool) -> None:
    running = asyncio.create_task(hooks(20, worker_ready=f"slow_hooks:{function}").run("worker_ready"))
    await until(gate.began.is_set)
    assert not gate.heard
    gate.opened.set()
    await running
    assert gate.heard == [("worker_ready", on_loop)]


@pytest.mark.parametrize("function", ["note", "note_async"])
async def test_an_import_that_hangs_is_left_behind_at_the_deadline(
    gate: Gate, function: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "changeover.worker"):
        await hooks(0.2, worker_exit=f"slow_hooks:{function}").run("worker_exit")
    assert f"slot 0: hook worker_exit: slow_hooks:{function} failed" in caplog.text
    assert "not done within 0.2 s" in caplog.text
    assert gate.heard == []
