"""Native modules are loaded out of the store, one content of each in a process."""

import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from changeover.workers.plugins import artifact
from changeover.workers.plugins.modules import PluginModules
from changeover.workers.plugins.natives import foreign, is_native, stem_of
from tests.natives import MULTI, SINGLE, SUFFIX, compiled, needs_compiler

Open = Callable[[str, dict[str, bytes]], PluginModules]
_numbers = itertools.count(1)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Store files and open their modules, as a new instance each time; closed at the end."""
    made: list[PluginModules] = []

    def open_modules(plugin: str, files: dict[str, bytes]) -> PluginModules:
        digest = artifact.put(tmp_path / "store", files)
        root = artifact.folder_of(tmp_path / "store", digest)
        modules = PluginModules(plugin, f"_{digest[:12]}_{next(_numbers)}", root, files)
        modules.open()
        made.append(modules)
        return modules

    yield open_modules
    for modules in made:
        modules.close()


@needs_compiler
@pytest.mark.parametrize("source", [MULTI, SINGLE], ids=["multi-phase", "single-phase"])
def test_it_is_loaded_from_the_store_under_the_plugins_name(
    opened: Open, tmp_path: Path, source: str, request: pytest.FixtureRequest
) -> None:
    native = compiled(tmp_path, source, "_geo", "1.0")
    files = {
        f"_geo{SUFFIX}": native,
        "geo.py": b"import _geo\ndef late():\n    from deep import inner\n    return inner._geo.VERSION\n",
        "deep/__init__.py": b"",
        "deep/inner.py": b"from . import _geo\n",
        f"deep/_geo{SUFFIX}": native,
    }
    modules = opened(f"loads{request.node.callspec.id}".replace("-", ""), files)
    geo = modules.import_module("geo")
    assert (geo._geo.VERSION, geo.late()) == ("1.0", "1.0")
    assert geo._geo.__name__ == f"{modules.package}._geo"
    assert geo._geo.__file__ == str(modules.root / f"_geo{SUFFIX}")
    assert "_geo" not in sys.modules
    assert importlib.util.find_spec(f"{modules.package}.deep._geo") is not None
    modules.close()
    assert [name for name in sys.modules if name.startswith(modules.package)] == []


@needs_compiler
def test_another_content_is_refused_before_its_code_runs_and_the_same_is_not(opened: Open, tmp_path: Path) -> None:
    first = {f"_geo{SUFFIX}": compiled(tmp_path, MULTI, "_geo", "1.0")}
    second = {f"_geo{SUFFIX}": compiled(tmp_path, MULTI, "_geo", "1.1")}
    one = opened("twice", first)
    assert one.import_module("_geo").VERSION == "1.0"
    other = opened("twice", second)
    with pytest.raises(ImportError, match="native module _geo of twice is in this process already, from content"):
        other.import_module("_geo")
    one.close()
    with pytest.raises(ImportError, match="servers replace such a plugin by a roll"):
        other.import_module("_geo")
    assert opened("twice", first).import_module("_geo").VERSION == "1.0"
    assert opened("another", second).import_module("_geo").VERSION == "1.1"


@needs_compiler
def test_where_both_lie_there_the_native_one_is_the_module(opened: Open, tmp_path: Path) -> None:
    files = {f"_geo{SUFFIX}": compiled(tmp_path, MULTI, "_geo", "1.0"), "_geo.py": b"VERSION = 'slow'\n"}
    assert opened("both", files).import_module("_geo").VERSION == "1.0"


def test_one_that_cannot_be_loaded_says_why(opened: Open) -> None:
    with pytest.raises(ImportError, match="_geo"):
        opened("damaged", {f"_geo{SUFFIX}": b"\x7fELF"}).import_module("_geo")


@pytest.mark.parametrize("file", ["_geo.cpython-39-x86_64-linux-gnu.so", "_geo.cp311-win_amd64.pyd"])
def test_one_for_another_interpreter_is_told_with_its_file(opened: Open, file: str) -> None:
    modules = opened("foreign", {f"deep/{file}": b"", "deep/__init__.py": b"", "geo.py": b"import deep._geo\n"})
    with pytest.raises(ModuleNotFoundError) as told:
        modules.import_module("geo")
    assert str(told.value) == f"deep._geo is a native module for another interpreter ({file}); this one takes {SUFFIX}"


def test_names_tell_which_interpreter_loads_them() -> None:
    assert [stem_of(f"_geo{suffix}") for suffix in (SUFFIX, ".abi3.so", ".so", ".py", ".pyd")] == ["_geo"] * 3 + [
        ""
    ] * 2
    assert (stem_of("_geo.cpython-39-x86_64-linux-gnu.so"), stem_of("no-name.so")) == ("", "")
    assert foreign(["a/_geo.cpython-39.so", "_fast.so", "x.py"]) == {"a/_geo": "_geo.cpython-39.so"}
    assert [is_native(name) for name in ("a.so", "a.pyd", "a.py", "so")] == [True, True, False, False]
