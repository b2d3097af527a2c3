"""Plugin code uses `importlib`, `atexit` and `signal` as any program does, and leaves nothing behind in the process."""

import atexit
import importlib
import importlib.machinery
import importlib.resources
import importlib.util
import inspect
import signal
import threading
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from changeover.workers.plugins.facades import exits, signals
from changeover.workers.plugins.modules import PluginModules
from changeover.workers.plugins.refused import Origin, Site, refusal_of
from changeover.workers.protocol.refusal import Stage

Load = Callable[[dict[str, str]], PluginModules]

SIGNALS = """
import signal
def one(number, frame): ...
def two(number, frame): ...
def install(handler):
    return signal.signal(signal.SIGUSR2, handler)
def handler():
    return signal.getsignal(signal.SIGUSR2)
"""


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """SIGUSR2 is ignored before and after."""
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGUSR2, before)


def shared(*_: object) -> None:
    """A handler of a library."""


def now() -> object:
    return signal.getsignal(signal.SIGUSR2)


def test_a_facade_passes_for_the_module(load: Load) -> None:
    source = """
import atexit, importlib, signal, importlib.util
import signal as renamed
from atexit import register
from importlib import import_module, resources
"""
    module = load({"p.py": source}).import_module("p")
    for real in (atexit, importlib, signal):
        seen = getattr(module, real.__name__)
        assert isinstance(seen, ModuleType)
        assert inspect.ismodule(seen)
        assert seen is not real
        assert dir(seen)
    assert module.renamed is module.signal
    assert inspect.getsourcefile(module.importlib) == inspect.getsourcefile(importlib)
    assert module.importlib.util.module_from_spec is importlib.util.module_from_spec
    assert module.resources.as_file is importlib.resources.as_file
    assert module.importlib.machinery is importlib.machinery
    assert load({"q.py": "from signal import *"}).import_module("q").SIGUSR2 is signal.SIGUSR2


def test_two_versions_do_not_share_a_facade_and_nobody_else_sees_one(load: Load) -> None:
    old, new = (load({"p.py": f"import signal\n# {each}"}).import_module("p") for each in "12")
    assert old.signal is not new.signal
    assert importlib.import_module("signal") is signal


def test_what_runs_at_exit_runs_when_the_version_ends_the_latest_first(load: Load) -> None:
    source = """
import atexit
ran = []
@atexit.register
def close():
    ran.append("close")
atexit.register(ran.append, "flush")
atexit.register(ran.append, "never")
"""
    modules = load({"p.py": source + "def back(call):\n    atexit.unregister(call)\n"})
    module = modules.import_module("p")
    exits.run(modules.work)
    assert module.ran == ["never", "flush", "close"]
    exits.run(modules.work)
    assert len(module.ran) == 3
    assert modules.work.exits == []


def test_what_is_taken_back_does_not_run(load: Load) -> None:
    source = """
import atexit
ran = []
def close(): ran.append("close")
def flush(): ran.append("flush")
atexit.register(close); atexit.register(flush); atexit.register(close)
atexit.unregister(close)
"""
    modules = load({"p.py": source})
    module = modules.import_module("p")
    exits.run(modules.work)
    assert module.ran == ["flush"]


def test_one_that_fails_does_not_keep_the_others_from_running(load: Load) -> None:
    source = """
import atexit, sys
ran = []
atexit.register(ran.append, "first")
atexit.register(sys.exit, "no")
atexit.register(ran.append, "last")
"""
    modules = load({"p.py": source})
    module = modules.import_module("p")
    with pytest.raises(SystemExit, match="no"):
        exits.run(modules.work)
    assert module.ran == ["last", "first"]


def test_a_handler_goes_with_its_version_and_what_there_was_comes_back(load: Load) -> None:
    modules = load({"p.py": SIGNALS})
    module = modules.import_module("p")
    assert module.install(module.one) is signal.SIG_IGN
    assert module.install(module.two) is module.one
    assert (now(), module.handler()) == (module.two, module.two)
    assert len(modules.work.signals) == 1
    assert signals.undo(modules.work) == []
    assert now() is signal.SIG_IGN
    assert modules.work.signals == []


def test_versions_do_not_see_each_others_handlers_and_end_in_any_order(load: Load) -> None:
    one, two, three = (load({"p.py": f"{SIGNALS}# {each}"}) for each in "123")
    old, mid, new = (each.import_module("p") for each in (one, two, three))
    for module in (old, mid, new):
        assert module.install(module.one) is signal.SIG_IGN
    assert (old.handler(), mid.handler(), now()) == (old.one, mid.one, new.one)
    signals.undo(two.work)
    assert now() is new.one
    signals.undo(three.work)
    assert now() is old.one
    signals.undo(one.work)
    assert now() is signal.SIG_IGN


def test_a_handler_that_versions_share_goes_with_the_last_of_them(load: Load) -> None:
    one, two, three = (load({"p.py": f"{SIGNALS}# {each}"}) for each in "123")
    one.import_module("p").install(shared)
    two.import_module("p").install(two.import_module("p").one)
    three.import_module("p").install(shared)
    signals.undo(one.work)
    assert now() is shared
    signals.undo(three.work)
    assert now() is two.import_module("p").one
    signals.undo(two.work)
    assert now() is signal.SIG_IGN


def test_a_version_that_puts_back_what_it_saw_does_not_disturb_its_successor(load: Load) -> None:
    one, two = (load({"p.py": f"{SIGNALS}# {each}"}) for each in "12")
    old, new = one.import_module("p"), two.import_module("p")
    before = old.install(old.one)
    new.install(new.one)
    assert old.install(before) is old.one
    assert now() is new.one
    assert one.work.signals == []
    new.install(signal.SIG_IGN)
    assert now() is signal.SIG_IGN


def test_what_somebody_else_set_since_stays(load: Load) -> None:
    modules = load({"p.py": SIGNALS})
    module = modules.import_module("p")
    module.install(module.one)
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)
    assert module.handler() is signal.SIG_DFL
    signals.undo(modules.work)
    assert now() is signal.SIG_DFL


def test_outside_of_the_main_thread_a_handler_that_stays_is_named(load: Load) -> None:
    modules = load({"p.py": SIGNALS})
    module = modules.import_module("p")
    module.install(module.one)
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.extend(signals.undo(modules.work)))
    thread.start()
    thread.join(10)
    assert told == [f"handler of signal {int(signal.SIGUSR2)}"]
    assert signals.undo(modules.work) == []


def test_a_relative_name_may_be_relative_to_the_plugins_own_name(load: Load) -> None:
    files = {"shop/__init__.py": "", "shop/late.py": "WHICH = {}", "shop/use.py": "import importlib\n"}
    files["shop/use.py"] += "def late():\n    return importlib.import_module('.late', 'shop').WHICH\n"
    old, new = (load(files | {"shop/late.py": f"WHICH = {each}"}).import_module("shop.use") for each in (1, 2))
    assert (old.late(), new.late()) == (1, 2)


def test_a_library_that_is_given_the_plugins_own_name_is_told_what_to_give_it(load: Load) -> None:
    source = """
import logging.config, pkgutil
def wrong():
    return pkgutil.resolve_name("shop.late:WHICH")
def right():
    from shop import late
    by_parts = logging.config.BaseConfigurator({}).resolve(f"{late.__name__}.WHICH")
    return by_parts, pkgutil.resolve_name(f"{late.__name__}:WHICH")
"""
    modules = load({"shop/__init__.py": "", "shop/late.py": "WHICH = 1", "shop/use.py": source})
    module = modules.import_module("shop.use")
    assert module.right() == (1, 1)
    with pytest.raises(ModuleNotFoundError) as caught:
        module.wrong()
    refusal = refusal_of(
        caught.value, Site(Stage.INITIALISE, "plugin shop", origin=Origin(modules.root, modules.package))
    )
    assert refusal.summary.startswith("ModuleNotFoundError: No module named 'shop' outside of the plugin")
    assert "its `__name__`" in refusal.summary


def test_while_a_module_is_imported_the_error_itself_says_so(load: Load) -> None:
    source = "import importlib\nimportlib.import_module('foreign_asks_for_shop')"
    modules = load({"shop.py": source})
    with pytest.MonkeyPatch.context() as patch:
        finder = _Asking()
        patch.setattr("sys.meta_path", [finder, *__import__("sys").meta_path])
        with pytest.raises(ModuleNotFoundError, match="'shop' outside of the plugin"):
            modules.import_module("shop")


class _Asking:
    """Stands for an installed module that imports a plugin by name."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "foreign_asks_for_shop":
            importlib.import_module("shop")
