"""Large modules are compiled beside the worker and run like any other."""

import traceback
from collections.abc import Callable

import pytest

from changeover.workers.plugins import compiling
from changeover.workers.plugins.modules import PluginModules

Load = Callable[[dict[str, str]], PluginModules]

LARGE = "def fail():\n    raise ValueError('here')\n" + "\n".join(f"def f{i}(): return {i}" for i in range(4000))


def test_only_what_is_large_goes_to_another_process() -> None:
    compiled = compiling.compile_large({"/a.py": LARGE.encode(), "/b.py": b"x = 1", "/c.py": b"(" * compiling.LARGE})
    assert list(compiled) == ["/a.py"]


def test_a_large_module_runs_and_names_its_lines(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = load({"large.py": LARGE})
    monkeypatch.setattr("builtins.compile", None)
    module = modules.import_module("large")
    monkeypatch.undo()
    assert module.f499() == 499
    with pytest.raises(ValueError, match="here") as caught:
        module.fail()
    assert f'{modules.root}/large.py", line 2, in fail\n    raise' in "".join(traceback.format_exception(caught.value))


def test_a_large_module_with_a_mistake_says_so_when_it_is_imported(load: Load) -> None:
    with pytest.raises(SyntaxError, match="was never closed"):
        load({"large.py": LARGE + "\nf("}).import_module("large")


def test_without_another_process_it_is_compiled_all_the_same(
    load: Load, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert load({"large.py": LARGE}).import_module("large").f1() == 1
    assert "compiled beside the loop" in caplog.text
