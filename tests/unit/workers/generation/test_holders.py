"""Whoever keeps a retired version alive is named, from the root on: as its author would look for it."""

import asyncio
import atexit
import logging
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.bench import Bench, loaded
from tests.waits import until

KEPT: list[object] = []
BY_NAME: dict[str, object] = {}
LATER = 3600.0
CLOSURE = "<lambda>.<locals>.<lambda>"
Keep = Callable[[Any, Any], object]


class Registry:
    """What an application has, and plugins register with."""

    def __init__(self) -> None:
        self.hooks: dict[str, Callable[..., object]] = {}


REGISTRY = Registry()

CODE = """
import functools
class Rule:
    limit = 1
class Own(Plugin):
    def quote(self): return Rule
    def on_signal(self, *_): pass
def stop(*_): pass
async def consume():
    await asyncio.sleep(3600)
def wait(gate):
    gate.wait(10)
"""


async def leaking(bench: Bench, keep: Keep) -> tuple[list[str], list[tuple[str, ...]]]:
    """Serve a plugin, let `keep` do something with its module and instance, and replace it: what, and the chains."""
    instance = loaded(await bench.serve(1, bench.plugin(CODE))).instance
    assert instance is not None
    kept = keep(sys.modules[type(instance).__module__], instance)
    del instance
    await bench.serve(2, bench.plugin(CODE + "NEW = True\n"))
    await bench.retire()
    leaks = bench.workshop.leaks()
    del kept
    assert {leak.unit.split()[1] for leak in leaks} == {"pricing"}
    return [leak.what for leak in leaks], [leak.chain for leak in leaks if leak.chain]


def forget() -> None:
    KEPT.clear()
    BY_NAME.clear()
    REGISTRY.hooks.clear()


@pytest.mark.parametrize(
    ("keep", "chain"),
    [
        (lambda _, own: KEPT.append(own.quote), ("KEPT", "list", "method Own.quote", "function Own.quote")),
        (lambda module, _: BY_NAME.update(quote=module.stop), ("BY_NAME", "dict['quote']", "function stop")),
        (
            lambda module, _: REGISTRY.hooks.update(stop=module.stop),
            ("REGISTRY", "Registry.hooks", "dict['stop']", "function stop"),
        ),
        (lambda module, _: KEPT.append(module), ("KEPT", "list", "module pricing")),
        (lambda module, _: KEPT.append(lambda: module), ("KEPT", "list", f"function {CLOSURE}", "module pricing")),
    ],
    ids=["method in a list", "function in a dict", "function in an instance", "module", "module in a closure"],
)
async def test_a_module_that_another_one_holds_is_told_with_the_way_to_it(
    bench: Bench, keep: Keep, chain: tuple[str, ...]
) -> None:
    what, [(root, *rest)] = await leaking(bench, keep)
    assert what == ["module pricing.py is alive"]
    assert (root.removeprefix(f"module {__name__}."), *rest) == chain
    forget()
    assert bench.workshop.leaks() == []


class Lazy:
    """Stands for something that its first use makes, as frameworks have it."""

    def __init__(self, made: object) -> None:
        self.made = made

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise ReferenceError("used")


async def test_what_holds_it_is_told_without_being_used(bench: Bench) -> None:
    what, [(root, *rest)] = await leaking(bench, lambda module, _: KEPT.append(Lazy(module)))
    assert what == ["module pricing.py is alive"]
    assert (root, *rest) == (f"module {__name__}.KEPT", "list", "Lazy.made", "module pricing")
    forget()
    assert bench.workshop.leaks() == []


async def test_a_class_that_needs_no_module_is_told_as_well(bench: Bench) -> None:
    what, chains = await leaking(bench, lambda module, _: KEPT.append(module.Rule))
    assert (what, chains) == (["class Rule is alive"], [(f"module {__name__}.KEPT", "list")])
    forget()
    assert bench.workshop.leaks() == []


async def test_what_a_logger_holds_is_told_by_its_name_and_not_by_whichever_module_logs(bench: Bench) -> None:
    logger = logging.getLogger("shop.http")
    what, chains = await leaking(bench, lambda module, _: logger.addFilter(module.stop))
    assert (what, chains) == (
        ["module pricing.py is alive"],
        [("logger 'shop.http'.filters", "list", "function stop")],
    )
    logger.filters.clear()
    assert bench.workshop.leaks() == []


async def test_a_logger_that_logging_does_not_know_has_a_holder_itself(bench: Bench) -> None:
    own = logging.Logger("shop.own")
    KEPT.append(own)
    _, [(root, *rest)] = await leaking(bench, lambda module, _: own.addFilter(module.stop))
    assert (root, *rest) == (f"module {__name__}.KEPT", "list", "logger 'shop.own'.filters", "list", "function stop")
    forget()


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_a_loop_holds_is_told(tmp_path: Path, make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def stories() -> None:
        loop = asyncio.get_running_loop()
        timers: list[asyncio.TimerHandle] = []
        bench = Bench(tmp_path)
        timed = await leaking(bench, lambda module, _: timers.append(loop.call_later(LATER, module.stop)))
        assert timed == (["module pricing.py is alive", "timer stop is set"], [("timer", "function stop")])
        timers.pop().cancel()
        assert bench.workshop.leaks() == []
        await bench.workshop.close()

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(stories())


async def test_signal_handlers_are_told(bench: Bench) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    what, chains = await leaking(bench, lambda _, own: signal.signal(signal.SIGUSR1, own.on_signal))
    assert what == ["module pricing.py is alive", "handler of SIGUSR1 Own.on_signal is registered"]
    assert chains == [("handler of SIGUSR1", "method Own.on_signal", "function Own.on_signal")]
    signal.signal(signal.SIGUSR1, before)
    assert bench.workshop.leaks() == []


async def test_handlers_of_atexit_are_told(bench: Bench) -> None:
    stops: list[Callable[[], object]] = []

    def keep(module: Any, _: object) -> None:
        atexit.register(module.stop, 1)
        stops.append(weakref.ref(module.stop))

    what, chains = await leaking(bench, keep)
    assert what == ["module pricing.py is alive", "atexit handler stop is registered"]
    assert chains == [("atexit handler", "function stop")]
    stop = stops.pop()()
    assert callable(stop)
    atexit.unregister(stop)
    del stop
    assert bench.workshop.leaks() == []


async def test_a_task_that_does_not_end_when_it_is_cancelled_is_told(bench: Bench) -> None:
    made: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    what, chains = await leaking(bench, lambda module, _: made.append(loop.create_task(module.consume(), name="feed")))
    assert (what, chains) == (["module pricing.py is alive"], [("task feed", "coroutine consume", "function consume")])
    made[0].cancel()
    await until(made[0].done)
    made.clear()
    assert bench.workshop.leaks() == []


async def test_a_thread_that_runs_code_of_a_module_is_told(bench: Bench) -> None:
    gate = threading.Event()

    def keep(module: Any, _: object) -> None:
        threading.Thread(target=module.wait, args=(gate,), name="poller").start()

    what, chains = await leaking(bench, keep)
    assert (what, chains) == (["module pricing.py is alive"], [("thread poller", "function wait")])
    gate.set()
    await until(lambda: bench.workshop.leaks() == [])


FROZEN = """
import gc, logging, sys, types
from changeover.workers.generation import holders

class Held:
    pass

class Registry:
    pass

REGISTRY = Registry()
REGISTRY.hooks = [None]
LOG = logging.getLogger("shop.http")
if sys.argv[1] == "cycle":
    TAKEN = [REGISTRY]
gc.collect()
gc.freeze()

def late():
    module = types.ModuleType("late")
    exec("def hook(): return mine", vars(module))
    if sys.argv[1] == "logger":
        LOG.addFilter(module.hook)
    else:
        REGISTRY.hooks[0] = module.hook
    if sys.argv[1] == "cycle":
        module.mine = TAKEN.pop()
        del globals()["REGISTRY"]
    return [vars(module)]

def chain(space):
    gc.collect()
    return holders.chain(space, "late")

print(" > ".join(chain(late())))
"""


@pytest.mark.parametrize(
    ("how", "chain"),
    [
        ("held", "module __main__.REGISTRY > Registry.hooks > list > function hook"),
        ("logger", "logger 'shop.http'.filters > list > function hook"),
        ("cycle", "preloaded Registry.hooks > list > function hook"),
    ],
)
def test_what_was_frozen_before_the_fork_is_seen_to_hold(how: str, chain: str) -> None:
    told = subprocess.run([sys.executable, "-c", FROZEN, how], capture_output=True, text=True, timeout=30, check=False)
    assert (told.stdout.strip(), told.stderr) == (chain, "")
