"""After releases a worker collects once, when it is idle and nobody else does, and at the latest after a while."""

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from changeover.workers.generation import proof
from changeover.workers.generation.proof import Proof, Proven
from tests.bench import Bench, lease, loaded
from tests.waits import until

KEPT: list[object] = []
HANDLED = 'plugin = "pricing:Own"\n[services]\nquote = { entry = "pricing:quote", mount = "/quote" }\n'
CODE = """
class Own(Plugin):
    number = {}
@service
async def quote(request, call):
    return Response(b"")
"""
NEVER = 60.0


class Proving:
    """A proof of a bench's workshop, and what it told."""

    def __init__(self, bench: Bench, folder: Path, latest: float = NEVER) -> None:
        self.bench = bench
        self.told: list[Proven] = []
        self.proof = Proof(asyncio.get_running_loop(), bench.workshop, folder, self.told.append, latest)

    async def swap(self, epoch: int, *, kept: bool = False) -> None:
        """Serve another content; what it replaced is released."""
        generation = await self.bench.serve(epoch, self.bench.plugin(CODE.format(epoch), manifest=HANDLED))
        if kept:
            KEPT.append(sys.modules[type(loaded(generation).instance).__module__])
        del generation
        keys = self.bench.workshop.draining()
        await self.bench.retire()
        self.proof.released(keys)


@pytest.fixture
async def proving(bench: Bench, tmp_path: Path) -> AsyncIterator[Proving]:
    """It waits for idleness for as long as it takes."""
    proving = Proving(bench, tmp_path)
    yield proving
    KEPT.clear()


async def test_what_is_gone_is_proved_once_for_releases_that_follow_each_other(proving: Proving) -> None:
    for epoch in range(1, 4):
        await proving.swap(epoch)
    await until(lambda: proving.told)
    [told] = proving.told
    assert {(str(key.ref), key.since) for key in told.units} >= {("plugin pricing", 1), ("plugin pricing", 2)}
    assert told.leaks == ()
    assert 0.0 < told.pause < 5.0


async def test_what_is_left_is_told_once_with_its_holder(proving: Proving) -> None:
    await proving.swap(1, kept=True)
    await proving.swap(2)
    await until(lambda: proving.told)
    [leak] = proving.told[0].leaks
    assert leak.chain == (f"module {__name__}.KEPT", "list", "module pricing")
    await proving.swap(3)
    await until(lambda: len(proving.told) == 2)
    assert proving.told[1].leaks == ()


async def test_a_worker_that_answers_a_request_waits(proving: Proving) -> None:
    await proving.swap(1)
    await proving.swap(2)
    held = lease(proving.bench.switch.current, "pricing:quote")
    await asyncio.sleep(proof.LOOK * 5)
    assert proving.told == []
    held.release()
    await until(lambda: proving.told)


async def test_a_loop_that_has_no_time_waits(proving: Proving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "PROMPT", -1.0)
    await proving.swap(1)
    await proving.swap(2)
    await asyncio.sleep(proof.LOOK * 5)
    assert proving.told == []
    monkeypatch.setattr(proof, "PROMPT", 1.0)
    await until(lambda: proving.told)


async def test_a_worker_that_is_never_idle_collects_all_the_same(bench: Bench, tmp_path: Path) -> None:
    proving = Proving(bench, tmp_path, latest=0.1)
    await proving.swap(1)
    await proving.swap(2)
    held = lease(bench.switch.current, "pricing:quote")
    began = time.monotonic()
    await until(lambda: proving.told)
    assert time.monotonic() - began < 2.0
    held.release()


class Clock:
    """A loop by whose time every look takes half a second."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = 0.0
        self.create_task = loop.create_task

    def time(self) -> float:
        return self.now

    async def look(self) -> bool:
        """Find the loop busy."""
        self.now += 0.5
        return False


async def test_where_nobody_says_otherwise_it_collects_five_seconds_after_a_release(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, told = Clock(asyncio.get_running_loop()), list[float]()
    monkeypatch.setattr(Proof, "_is_idle", lambda _: clock.look())
    proving = Proving(bench, tmp_path)
    proving.proof = Proof(cast(Any, clock), bench.workshop, tmp_path, lambda _: told.append(clock.now))
    await proving.swap(1)
    await proving.swap(2)
    await until(lambda: told)
    assert told == [5.0]


async def test_one_worker_at_a_time_collects(proving: Proving, tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    await proving.swap(1)
    await proving.swap(2)
    await asyncio.sleep(proof.LOOK * 5)
    assert proving.told == []
    os.close(other)
    await until(lambda: proving.told)


async def test_while_a_worker_collects_no_other_one_can(bench: Bench, tmp_path: Path) -> None:
    proving = Proving(bench, tmp_path)
    alone: list[bool] = []

    def look(_: Proven) -> None:
        with proof._alone(tmp_path) as mine:
            alone.append(mine)

    proving.proof = Proof(asyncio.get_running_loop(), bench.workshop, tmp_path, look)
    await proving.swap(1)
    await proving.swap(2)
    await until(lambda: alone)
    assert alone == [False]
    look(Proven((), 0.0, ()))
    assert alone == [False, True]


async def test_without_a_folder_to_lock_it_is_only_later(bench: Bench, tmp_path: Path) -> None:
    proving = Proving(bench, tmp_path / "gone", latest=0.1)
    await proving.swap(1)
    await proving.swap(2)
    await until(lambda: proving.told)


async def test_a_worker_that_leaves_collects_no_more(proving: Proving) -> None:
    await proving.swap(1)
    await proving.swap(2)
    proving.proof.close()
    await asyncio.sleep(proof.LOOK * 5)
    assert proving.told == []
    proving.proof.close()
