"""A plugin finds its data by every name that Python has for the package they lie in, and never another version's."""

import importlib.resources
import pkgutil
from collections.abc import Callable

import pytest

from changeover.workers.plugins.modules import PluginModules

Load = Callable[[dict[str, str]], PluginModules]
Packaged = Callable[[dict[str, str], str], PluginModules]

NAMING = """
import sys
from importlib import import_module, resources
import importlib.resources
import importlib.resources as renamed
import pkgutil

def read(anchor):
    return resources.files(anchor).joinpath("text.txt").read_text()

def own_name():
    return read("{name}")
def dunder_package():
    return read(__package__)
def dunder_name():
    return read(__name__)
def parent_of_spec():
    return read(__spec__.parent)
def name_of_spec():
    return read(__spec__.name)
def module():
    import {name}
    return read(sys.modules[{name}.__name__])
def module_by_name():
    return read(import_module("{name}"))
def module_of_package():
    return read(sys.modules[__package__])
def no_name():
    return importlib.resources.files().joinpath("text.txt").read_text()
def keyword():
    return renamed.files(package="{name}").joinpath("text.txt").read_text()
def as_file():
    with resources.as_file(resources.files("{name}") / "text.txt") as file:
        return file.read_text()
def loader():
    with __loader__.get_resource_reader(__name__).open_resource("text.txt") as file:
        return file.read().decode()
def loader_of_package():
    reader = sys.modules[__package__].__spec__.loader.get_resource_reader(__package__)
    with open(reader.resource_path("text.txt")) as file:
        return file.read()
def data_by_own_name():
    return pkgutil.get_data("{name}", "text.txt").decode()
def data_by_name():
    return pkgutil.get_data(__name__, "text.txt").decode()
"""
WAYS = [line.removeprefix("def ").partition("(")[0] for line in NAMING.splitlines() if line.startswith("def ")][1:]
IN_ONE_CALL = """
from importlib.resources import contents, is_resource, open_binary, open_text, path, read_binary, read_text
def all_of_it():
    import {name}
    for anchor in ("{name}", {name}, __package__):
        yield "text.txt" in contents(anchor)
        yield is_resource(anchor, "text.txt")
        with open_binary(anchor, "text.txt") as file:
            yield file.read().decode()
        with open_text(anchor, "text.txt") as file:
            yield file.read()
        with path(anchor, "text.txt") as file:
            yield file.read_text()
        yield read_binary(anchor, "text.txt").decode()
        yield read_text(anchor, "text.txt")
"""
LAYOUTS = {
    "beside its data": ("rates", "rates.py", "text.txt"),
    "a package": ("rates", "rates/__init__.py", "rates/text.txt"),
    "in a package": ("shop.rates", "shop/rates.py", "shop/text.txt"),
    "in a folder that is none": ("deep.er.rates", "deep/er/rates.py", "deep/er/text.txt"),
}


def contents(layout: str, code: str, text: str) -> dict[str, str]:
    """The files of a plugin."""
    name, module, data = LAYOUTS[layout]
    package = {"shop/__init__.py": ""} if layout == "in a package" else {}
    return {"plugin.toml": "", **package, module: code.format(name=name), data: text}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("way", WAYS)
def test_data_are_found_by_every_name_also_by_the_old_version_after_a_swap(load: Load, layout: str, way: str) -> None:
    old, new = (load(contents(layout, NAMING, each)).import_module(LAYOUTS[layout][0]) for each in ("old", "new"))
    assert getattr(new, way)() == "new"
    assert getattr(old, way)() == "old"


@pytest.mark.filterwarnings("ignore:.* is deprecated. Use files:DeprecationWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_data_are_read_in_one_call_by_every_name(load: Load, layout: str) -> None:
    old, new = (load(contents(layout, IN_ONE_CALL, each)).import_module(LAYOUTS[layout][0]) for each in ("old", "new"))
    for module, text in ((new, "new"), (old, "old")):
        assert [*module.all_of_it()] == [True, True, *[text] * 5] * 3


def test_data_beside_the_package_are_found_by_its_name(load: Load) -> None:
    """`pkgutil.get_data(__package__, ...)` of a module at the top, which has no package that is a file."""
    code = "import pkgutil\ndef data():\n    return pkgutil.get_data(__package__, 'deep/text.txt').decode()\n"
    old, new = (load({"rates.py": code, "deep/text.txt": each}).import_module("rates") for each in ("old", "new"))
    assert (old.data(), new.data()) == ("old", "new")
    with pytest.raises(FileNotFoundError, match=r"nothing\.txt"):
        load({"rates.py": code.replace("deep/text", "nothing")}).import_module("rates").data()


def test_a_folder_of_data_in_a_package_is_named_as_a_package_too(load: Load) -> None:
    code = (
        "from importlib.resources import files\ndef read(anchor):\n    return files(anchor).joinpath('x').read_text()\n"
    )
    layout = {"shop/__init__.py": code, "json/x": "", "shop/data/deep/x": ""}
    old, new = (load(layout | {"shop/data/x": each}) for each in ("old", "new"))
    for modules, text in ((new, "new"), (old, "old")):
        shop = modules.import_module("shop")
        assert [shop.read(each) for each in ("shop.data", f"{shop.__name__}.data")] == [text] * 2
        assert shop.read("shop.data.deep") == ""
        assert not modules.owns("json")
        assert list(pkgutil.iter_modules(shop.__path__)) == []


def test_a_module_of_a_folder_of_packages_has_the_data_that_lie_there(packaged: Packaged) -> None:
    files = {"rates.py": "import lib", "text.txt": "top", "vendor/lib.py": NAMING.format(name="lib")}
    lib = packaged(files | {"vendor/text.txt": "vendored"}, "vendor").import_module("rates").lib
    assert [getattr(lib, way)() for way in ("own_name", "dunder_name", "module", "no_name")] == ["vendored"] * 4


def test_a_library_finds_data_by_the_private_name_that_it_is_given(load: Load) -> None:
    code = "def names():\n    return __package__, __spec__.parent\n"
    old, new = (load({"rates.py": code, "text.txt": each}).import_module("rates") for each in ("old", "new"))
    for module, text in ((new, "new"), (old, "old")):
        assert [importlib.resources.files(each).joinpath("text.txt").read_text() for each in module.names()] == [
            text
        ] * 2


def test_a_version_that_is_gone_gives_nobody_elses_data(load: Load) -> None:
    gone, _ = (load({"rates.py": NAMING.format(name="rates"), "text.txt": each}) for each in ("old", "new"))
    module = gone.import_module("rates")
    gone.close()
    for way in ("own_name", "dunder_package", "dunder_name", "no_name"):
        with pytest.raises(ImportError):
            getattr(module, way)()


def test_what_python_refuses_of_others_it_still_refuses(load: Load) -> None:
    module = load({"rates.py": NAMING.format(name="rates"), "text.txt": "own"}).import_module("rates")
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        module.read("nowhere_at_all")
    assert module.resources.files("json").joinpath("__init__.py").is_file()
