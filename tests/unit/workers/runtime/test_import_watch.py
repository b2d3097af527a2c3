import builtins
import importlib
import importlib.machinery
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from changeover.workers.runtime.import_watch import EXECUTING, ImportWatch

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes modules that are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)

    def write_module(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)

    yield write_module
    for name in set(sys.modules) - known:
        del sys.modules[name]


def nothing() -> frozenset[str]:
    return frozenset()


def test_each_module_is_charged_with_its_own_time_only(write: Write) -> None:
    write("watched_outer", "import watched_slow\nimport watched_quick\n")
    write("watched_slow", "import time\ntime.sleep(0.2)\n")
    write("watched_quick", "")
    watch = ImportWatch(nothing)
    with watch.watching():
        importlib.import_module("watched_outer")
    times = {module.name: module.own for module in watch.modules()}
    assert times.keys() == {"watched_outer", "watched_slow", "watched_quick"}
    assert watch.modules()[0].name == "watched_slow"
    assert times["watched_slow"] >= 0.2 > times["watched_outer"]


def test_the_innermost_module_is_blamed_for_what_appears(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    things: set[str] = {"here before"}
    monkeypatch.setattr(builtins, "watched_things", things, raising=False)
    write("watched_app", "watched_things.add('early')\nimport watched_db\nwatched_things.add('late')\n")
    write("watched_db", "watched_things.add('of the db')\n")
    watch = ImportWatch(lambda: frozenset(things))
    with watch.watching():
        importlib.import_module("watched_app")
    assert watch.blamed == {"early": "watched_app", "of the db": "watched_db", "late": "watched_app"}


def test_what_was_there_only_for_a_while_is_blamed_on_who_was_seen_with_it_first() -> None:
    things: set[str] = set()
    watch = ImportWatch(lambda: frozenset(things))
    for now, module in (({"a"}, "first"), (set(), "second"), ({"a"}, "third")):
        things.clear()
        things |= now
        watch.look(module)
    assert watch.blamed == {"a": "first"}


def test_looking_is_charged_to_nobody(write: Write) -> None:
    write("watched_parent", "import watched_child\n")
    write("watched_child", "")

    def slowly() -> frozenset[str]:
        importlib.import_module("time").sleep(0.1)
        return frozenset()

    watch = ImportWatch(slowly)
    with watch.watching():
        importlib.import_module("watched_parent")
    assert watch.looking >= 0.2
    assert sum(module.own for module in watch.modules()) < 0.1


def test_a_module_that_fails_is_charged_and_python_is_left_as_it_was(write: Write) -> None:
    before = [vars(loader).get(name) for loader, name in EXECUTING]
    write("watched_broken", "raise ValueError('broken')\n")
    watch = ImportWatch(nothing)
    with pytest.raises(ValueError, match="broken"), watch.watching():
        importlib.import_module("watched_broken")
    assert [module.name for module in watch.modules()] == ["watched_broken"]
    assert [vars(loader).get(name) for loader, name in EXECUTING] == before
