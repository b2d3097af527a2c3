"""Loads plugins one after the other in a process that is watched: `python -m tests.watched`, asked on stdin.

An audit hook cannot be taken out again, so whoever tests one needs a process for it.
"""

import asyncio
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from changeover.workers.generation.solo import SoloSnapshot, store_plugin
from changeover.workers.generation.workshop import Workshop
from changeover.workers.plugins import artifact
from changeover.workers.preflight.audit import WatchedLoop, blamed, watch
from changeover.workers.preflight.selftests import self_tested
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import EMPTY, UnitKey
from changeover.workers.serving import attribution

ROOT = Path(__file__).parents[1]
DEADLINE = 60.0


class Asked(msgspec.Struct, frozen=True):
    """What to load.

    Attributes:
        plugin: A folder or file.
        granted: Its capabilities.
    """

    plugin: str
    granted: tuple[str, ...] = ()


class Seen(msgspec.Struct, frozen=True):
    """What came of it.

    Attributes:
        refusal: Of the candidate, or of its self-test.
        refused: What the hook refused.
        passed: Self-tests that passed.
        tests: Self-tests that there are.
    """

    refusal: Refusal | None = None
    refused: tuple[Refusal, ...] = ()
    passed: int = 0
    tests: int = 0


def seen(asked: Iterable[Asked], temporary: Path, installed: Path) -> list[Seen]:
    """Load plugins in a process with its own folder for temporary files, and one of libraries that they may import."""
    temporary.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.watched"],
        input=msgspec.msgpack.encode(list(asked)),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(installed)},
        timeout=DEADLINE,
        check=True,
    )
    return msgspec.msgpack.decode(done.stdout, type=list[Seen])


async def _loaded(asked: Asked, judged: set[UnitKey], refused: list[Refusal], store: Path) -> Seen:
    stored = store_plugin(Path(asked.plugin), store, {})
    solo = SoloSnapshot(1, EMPTY)
    solo.add_plugins({stored.manifest.id: dataclasses.replace(stored, granted=asked.granted)})
    solo.add_services(stored.manifest)
    workshop = Workshop(store, hook_deadline=5.0, on_drained=_nothing, on_degraded=_nothing, stage="preflight")
    refused.clear()
    snapshot = solo.snapshot()
    judged |= snapshot.keys()
    built = await workshop.build(snapshot)
    try:
        if isinstance(built, Refusal):
            return Seen(blamed(built, refused), tuple(refused))
        tests = await self_tested(built, ())
        await asyncio.sleep(0)
        return Seen(blamed(tests.refusal, refused), tuple(refused), tests.passed, tests.tests)
    finally:
        await workshop.close()


def _nothing(_told: object) -> None:
    """Nothing serves, so nothing drains or is degraded."""


async def _all(asked: list[Asked], judged: set[UnitKey], refused: list[Refusal], store: Path) -> list[Seen]:
    attribution.install(asyncio.get_running_loop())
    return [await _loaded(each, judged, refused, store) for each in asked]


def main() -> None:
    """Answer on stdout what was asked on stdin."""
    asked = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[Asked])
    answers = os.dup(1)
    os.dup2(2, 1)
    judged: set[UnitKey] = set()
    refused = watch(judged)
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=WatchedLoop) as runner:
        store = Path(folder)
        found = runner.run(_all(asked, judged, refused, store))
        for stored in store.iterdir():
            artifact.remove(store, stored.name)
    with open(answers, "wb") as file:
        file.write(msgspec.msgpack.encode(found))


if __name__ == "__main__":
    main()
