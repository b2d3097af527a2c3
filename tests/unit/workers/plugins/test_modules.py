"""Two versions of a plugin live side by side, and neither can tell."""

import builtins
import copyreg
import gc
import importlib
import importlib.resources
import logging
import pickle
import pkgutil
import sys
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from changeover.workers.plugins.modules import PluginModules
from changeover.workers.plugins.opened import PREFIX

Load = Callable[[dict[str, str]], PluginModules]
Packaged = Callable[[dict[str, str], str], PluginModules]


def version(number: int) -> dict[str, str]:
    return {
        "pricing/__init__.py": f"from pricing.rules import FACTOR\nNAME = 'version {number}'\n",
        "pricing/rules.py": f"FACTOR = {number}\n",
        "pricing/late.py": f"WHICH = {number}\n",
        "pricing/use.py": """
def absolute():
    import pricing.late
    return pricing.late.WHICH

def from_absolute():
    from pricing import late
    return late.WHICH

def renamed():
    import pricing.late as late
    return late.WHICH

def relative():
    from . import late
    return late.WHICH

def relative_name():
    from .late import WHICH
    return WHICH

def by_name():
    import importlib
    return importlib.import_module("pricing.late").WHICH

def by_imported_name():
    from importlib import import_module
    return import_module("pricing.late").WHICH

def by_relative_name():
    import importlib
    return importlib.import_module(".late", __package__).WHICH

def by_spec():
    import importlib.util
    assert importlib.util.find_spec("pricing.nothing") is None
    assert importlib.util.find_spec(".late", "pricing").origin == importlib.util.find_spec("pricing.late").origin
    module = importlib.util.module_from_spec(spec := importlib.util.find_spec("pricing.late"))
    spec.loader.exec_module(module)
    return module.WHICH

def by_dunder():
    return __import__("pricing.late").late.WHICH

def by_exec():
    space = {}
    exec("from pricing.late import WHICH", space)
    return space["WHICH"]

def by_walking():
    import importlib, pkgutil
    import pricing
    names = [each.name for each in pkgutil.iter_modules(pricing.__path__)]
    assert names == ["late", "rules", "use"], names
    return importlib.import_module(f"{pricing.__name__}.late").WHICH
""",
    }


def hooked() -> list[object]:
    """All by which imports of anybody are led elsewhere, or classes of anybody pickled otherwise."""
    return [builtins.__import__, importlib.import_module, *sys.meta_path, *sys.path_hooks, dict(copyreg.dispatch_table)]


WAYS = [
    "absolute",
    "from_absolute",
    "renamed",
    "relative",
    "relative_name",
    "by_name",
    "by_imported_name",
    "by_relative_name",
    "by_spec",
    "by_dunder",
    "by_exec",
    "by_walking",
]


@pytest.mark.parametrize("way", WAYS)
def test_a_lazy_import_in_the_old_version_finds_the_old_version_after_a_swap(load: Load, way: str) -> None:
    old = load(version(1)).import_module("pricing.use")
    new = load(version(2)).import_module("pricing.use")
    assert getattr(new, way)() == 2
    assert getattr(old, way)() == 1


def test_the_same_content_twice_is_two_sets_of_modules(load: Load) -> None:
    one, two = load(version(1)), load(version(1))
    assert one.import_module("pricing") is not two.import_module("pricing")
    two.close()
    assert one.import_module("pricing.use").by_walking() == 1


def test_nothing_is_entered_under_a_shared_name_and_no_import_of_others_is_led_elsewhere(load: Load) -> None:
    before, hooks = set(sys.modules), hooked()
    modules = load(version(1))
    modules.import_module("pricing.use").absolute()
    assert {name.partition(".")[0] for name in set(sys.modules) - before} <= {PREFIX}
    assert importlib.__import__ is not modules.builtins["__import__"]
    assert hooked() == hooks
    modules.close()
    assert {name for name in set(sys.modules) - before if name != PREFIX} == set()
    assert not [folder for folder in sys.path_importer_cache if folder.startswith(str(modules.root))]


def test_other_peoples_modules_are_the_real_ones(load: Load) -> None:
    module = load(
        {"p.py": "import json, logging.handlers, importlib.resources\nfrom importlib import metadata"}
    ).import_module("p")
    assert module.json is sys.modules["json"]
    assert module.logging is sys.modules["logging"]
    assert module.metadata is sys.modules["importlib.metadata"]
    assert module.importlib.machinery is sys.modules["importlib.machinery"]


def test_modules_beside_the_manifest_and_folders_without_init_are_importable(load: Load) -> None:
    modules = load(
        {
            "plugin.toml": "",
            "one.py": "import two\nfrom deep.er import three\nfrom . import two as again\nassert two is again",
            "two.py": "x = 2",
            "deep/er/three.py": "from ...two import x",
        }
    )
    assert modules.import_module("one").three.x == 2


def test_modules_that_import_each_other_work_as_usual(load: Load) -> None:
    modules = load({"a/__init__.py": "", "a/b.py": "from a import c\nx = 1", "a/c.py": "import a.b\ny = lambda: a.b.x"})
    assert modules.import_module("a.b").c.y() == 1


def test_dataclasses_type_hints_and_structs_find_names_of_their_own_module(load: Load) -> None:
    source = """
from __future__ import annotations
import dataclasses, enum, msgspec, typing

class Colour(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Point:
    kind: typing.ClassVar[int] = 3
    colour: Colour = Colour.RED
    near: list[Point] = dataclasses.field(default_factory=list)

class Wire(msgspec.Struct):
    colour: Colour

def hints():
    return typing.get_type_hints(Point)["colour"]

def decoded():
    return msgspec.json.decode(b'{"colour": 1}', type=Wire).colour
"""
    module = load({"shapes.py": source}).import_module("shapes")
    assert module.hints() is module.Colour
    assert module.decoded() is module.Colour.RED
    assert [field.name for field in module.dataclasses.fields(module.Point)] == ["colour", "near"]


def test_pickling_finds_the_class_of_its_own_version(load: Load) -> None:
    source = "class Cart:\n    pass\ndef f():\n    return 1\n"
    old, new = load({"shop.py": source}), load({"shop.py": source + "# 2"})
    cart = old.import_module("shop").Cart()
    assert new.import_module("shop").Cart is not type(cart)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert type(pickle.loads(pickle.dumps(cart, protocol))) is type(cart)
    assert type(pickle._loads(pickle._dumps(cart))) is type(cart)  # type: ignore[attr-defined]


def test_source_lines_are_found_by_inspect_and_by_tracebacks(load: Load) -> None:
    source = """
import inspect

def fail():
    raise ValueError('no')  # here

def own():
    return inspect.getsource(fail)
"""
    module = load({"p.py": source}).import_module("p")
    assert "raise ValueError('no')  # here" in module.own()
    with pytest.raises(ValueError, match="no") as caught:
        module.fail()
    assert "raise ValueError('no')  # here" in "".join(traceback.format_exception(caught.value))


def test_data_beside_a_module_is_found_by_importlib_and_pkgutil(load: Load) -> None:
    source = """
import importlib.resources, pkgutil, pathlib
def by_resources():
    return importlib.resources.files(__package__).joinpath("text.txt").read_text()
def by_own_name():
    from importlib.resources import files
    return files("p").joinpath("text.txt").read_text()
def beside():
    return importlib.resources.files().joinpath("text.txt").read_text()
def of_others():
    return importlib.resources.files("json").joinpath("__init__.py").is_file()
def by_pkgutil():
    return pkgutil.get_data(__package__, "text.txt").decode()
def by_pkgutil_and_own_name():
    assert pkgutil.get_data("json", "__init__.py")
    return pkgutil.get_data("p", "text.txt").decode()
def by_file():
    return pathlib.Path(__file__).with_name("text.txt").read_text()
"""
    module = load({"p/__init__.py": source, "p/text.txt": "found"}).import_module("p")
    ways = ("by_resources", "by_own_name", "beside", "by_pkgutil", "by_pkgutil_and_own_name", "by_file")
    assert [getattr(module, way)() for way in ways] == ["found"] * len(ways)
    assert module.of_others()


@pytest.mark.filterwarnings("ignore:.* is deprecated. Use files:DeprecationWarning")
def test_data_is_read_by_the_plugins_own_name_in_one_call_too(load: Load) -> None:
    source = """
from importlib import resources
from importlib.resources import contents, is_resource, open_binary, open_text, path, read_binary, read_text
def all_of_it():
    yield "text.txt" in contents("p")
    yield is_resource("p", "text.txt")
    with open_binary("p", "text.txt") as file:
        yield file.read()
    with open_text("p", "text.txt") as file:
        yield file.read()
    with path("p", "text.txt") as file:
        yield file.read_text()
    yield read_binary("p", "text.txt")
    yield read_text(__package__, "text.txt")
    yield resources.read_text("p", "text.txt", encoding="ascii")
    yield bool(read_text("json", "__init__.py"))
"""
    old, new = (load({"p/__init__.py": source, "p/text.txt": each}).import_module("p") for each in ("old", "new"))
    for module, text in ((old, "old"), (new, "new")):
        data = text.encode()
        assert [*module.all_of_it()] == [True, True, data, text, text, data, text, text, True]


def test_what_is_missing_is_named_as_the_plugin_names_it(load: Load) -> None:
    modules = load(
        {"p/__init__.py": "", "p/use.py": "import p.nothing", "q.py": "import _quick", "_quick.cpython-39.so": ""}
    )
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'p.nothing' in the plugin's files$"):
        modules.import_module("p.use")
    with pytest.raises(ModuleNotFoundError, match="_quick is a native module"):
        modules.import_module("q")
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'nowhere_at_all'$"):
        modules.import_module("nowhere_at_all")


def test_who_imports_another_plugin_is_told_what_to_do_instead(load: Load, tmp_path: Path) -> None:
    other = PluginModules("taxes", "_1", tmp_path, {"tax_rules/__init__.py": b""})
    other.open()
    modules = load({"p.py": "import taxes", "q.py": "import tax_rules.eu", "r.py": "import nobodys"})
    try:
        for importing, name in (("p", "taxes"), ("q", "tax_rules")):
            with pytest.raises(
                ModuleNotFoundError, match=f"^No module named '{name}': plugin taxes .* extension point"
            ):
                modules.import_module(importing)
        with pytest.raises(ModuleNotFoundError, match=r"^No module named 'nobodys'$"):
            modules.import_module("r")
    finally:
        other.close()


def test_a_module_that_failed_is_tried_again_and_leaves_nothing(load: Load) -> None:
    modules = load({"p.py": "raise ValueError('broken')"})
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            modules.import_module("p")
    assert modules.loaded() == []


def test_after_close_nothing_of_a_version_is_alive(load: Load) -> None:
    source = """
import dataclasses, logging, typing
from changeover.plugin import Plugin
log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())
T = typing.TypeVar("T")
@dataclasses.dataclass
class Config:
    x: typing.Optional["Config"] = None
class Own(Plugin[Config]):
    def handler(self) -> typing.Union[Config, None]:
        return None
box: typing.Dict[str, Config] = {}
"""
    modules = load({"p.py": source})
    module = modules.import_module("p")
    weak = [weakref.ref(each) for each in (module, module.Config, module.Own, module.Own(module.Config()))]
    logger = module.__name__
    del module
    remains = modules.close()
    gc.collect()
    assert [reference() for reference in weak] == [None] * 4
    assert remains.alive() == []
    assert logger not in logging.Logger.manager.loggerDict


def test_a_function_that_somebody_kept_is_told(load: Load) -> None:
    modules = load({"p.py": "def kept():\n    return 1"})
    kept = modules.import_module("p").kept
    remains = modules.close()
    gc.collect()
    assert [loader.path for loader in remains.alive()] == [str(modules.root / "p.py")]
    assert kept() == 1


def test_loggers_are_below_a_name_that_stays_from_version_to_version(load: Load) -> None:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Keep()
    parent = logging.getLogger(f"{PREFIX}.pricing")
    parent.addHandler(handler)
    try:
        for number in (1, 2):
            load({"p.py": f"import logging\nlogging.getLogger(__name__).warning('{number}')"}).import_module("p")
    finally:
        parent.removeHandler(handler)
    assert [record.getMessage() for record in records] == ["1", "2"]


def test_closing_uses_nothing_that_the_modules_hold(load: Load) -> None:
    source = """
import sys, weakref
class Gone: pass
dead = weakref.proxy(Gone())
sys.modules[__name__ + ".put"] = dead
"""
    modules = load({"p.py": source})
    modules.import_module("p")
    remains = modules.close()
    assert not [name for name in sys.modules if name.startswith(modules.package)]
    gc.collect()
    assert remains.gone


VENDOR = {
    "geo.py": "import lib, six_like\nfrom lib.deep import leaf\n"
    "def late():\n    import lib.late\n    return lib.late.WHICH\n",
    "vendor/lib/__init__.py": "from . import deep\nVERSION = '1'\n",
    "vendor/lib/deep/__init__.py": "",
    "vendor/lib/deep/leaf.py": "import lib\nfrom ..late import WHICH\nTOP = lib.VERSION\n",
    "vendor/lib/late.py": "WHICH = 'late'\n",
    "vendor/lib/data.txt": "data",
    "vendor/six_like.py": "X = 1\n",
    "vendor/lib-1.0.dist-info/METADATA": "Name: lib\n",
}


def test_packages_of_its_own_are_found_by_their_names(packaged: Packaged) -> None:
    modules = packaged(VENDOR, "vendor")
    geo = modules.import_module("geo")
    assert (geo.late(), geo.leaf.TOP, geo.leaf.WHICH, geo.six_like.X) == ("late", "1", "late", 1)
    assert geo.lib.__name__ == f"{modules.package}.lib"
    assert geo.lib.__file__ == str(modules.root / "vendor" / "lib" / "__init__.py")
    assert importlib.resources.files(geo.lib).joinpath("data.txt").read_text() == "data"
    assert sorted(each.name for each in pkgutil.iter_modules(geo.lib.__path__)) == ["deep", "late"]
    assert "lib" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        modules.import_module("vendor.lib")
    modules.close()
    assert [folder for folder in sys.path_importer_cache if folder.startswith(str(modules.root))] == []


def test_they_may_lie_deeper_in_a_folder_that_is_no_package(packaged: Packaged) -> None:
    modules = packaged({"geo.py": "import lib", "third-party/all/lib.py": "X = 1"}, "third-party/all")
    assert modules.import_module("geo").lib.X == 1


@pytest.mark.parametrize("own", ["lib.py", "lib/x.py"])
def test_a_module_that_lies_there_and_beside_it_is_refused(packaged: Packaged, own: str) -> None:
    with pytest.raises(ImportError, match="module lib lies in vendor and beside it: rename one of them"):
        packaged({own: "", "vendor/lib/__init__.py": "", "vendor/__init__.py": "", "__init__.py": ""}, "vendor")


def test_a_native_module_for_another_interpreter_is_told_there_too(packaged: Packaged) -> None:
    files = {"geo.py": "import lib._fast", "vendor/lib/_fast.cpython-39.so": "", "vendor/lib/x.py": ""}
    modules = packaged(files, "vendor")
    with pytest.raises(ModuleNotFoundError, match=r"lib\._fast is a native module for another interpreter"):
        modules.import_module("geo")
