"""A load that misses its deadline goes on in its thread; what it opens after it was refused is closed again."""

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from changeover.workers.plugins import artifact, modules
from changeover.workers.plugins.opened import OPENED, PREFIX
from changeover.workers.protocol.refusal import Fault
from tests.bench import NOISY, Bench
from tests.waits import until

GATE = threading.Event()


@pytest.fixture(autouse=True)
def gate() -> Iterator[None]:
    """What hangs here goes on when the test is over."""
    GATE.clear()
    yield
    GATE.set()


def hanging(call: Callable[..., object]) -> Callable[..., object]:
    """`call`, once the gate is open."""

    def hangs(*args: object) -> object:
        assert GATE.wait(20)
        return call(*args)

    return hangs


def open_here() -> list[str]:
    """Every package of a plugin that Python knows."""
    return sorted({*OPENED, *(name for name in sys.modules if name.startswith(f"{PREFIX}."))})


@pytest.mark.parametrize(("where", "what"), [(artifact, "get"), (modules, "compile_large")], ids=("read", "compiled"))
async def test_modules_that_are_opened_after_the_refusal_are_closed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: object, what: str
) -> None:
    before = open_here()
    bench.workshop = bench.make(hook_deadline=0.1)
    stored = bench.plugin(NOISY.format("one"))
    monkeypatch.setattr(where, what, hanging(getattr(where, what)))
    refusal = await bench.refused(1, stored)
    assert refusal.fault is Fault.TIMEOUT
    assert bench.workshop.left_behind == 1
    GATE.set()
    await until(lambda: bench.workshop.left_behind == 0, "the thread ended")
    assert open_here() == before


async def test_what_was_closed_stays_closed(bench: Bench) -> None:
    stored = bench.plugin(NOISY.format("one"))
    folder = artifact.folder_of(bench.store, stored.artifact)
    late = modules.PluginModules("pricing", "late", folder, artifact.get(bench.store, stored.artifact))
    late.close()
    late.open()
    assert late.package not in OPENED
