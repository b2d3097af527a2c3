"""Pickles of plugin code are read by whichever version reads them, or not at all and with both named."""

import importlib
import io
import pickle
from collections.abc import Callable
from types import ModuleType

import pytest

from changeover.workers.plugins.facades.pickling import PickledElsewhere, restored
from changeover.workers.plugins.modules import PluginModules
from changeover.workers.plugins.opened import PREFIX

Load = Callable[[dict[str, str]], PluginModules]
Versioned = Callable[[str, dict[str, str]], PluginModules]

SHOP = """
import dataclasses, enum, io, pickle

class Colour(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Cart:
    items: list[str] = dataclasses.field(default_factory=list)
    colour: Colour = Colour.RED

    class Line:
        pass

def price(cart):
    return len(cart.items)

def write(value, protocol=None):
    return pickle.dumps(value, protocol)

def read(data):
    return pickle.loads(data)
"""


def shop(load: Load, mark: str, source: str = SHOP) -> ModuleType:
    return load({"shop.py": f"{source}\n# {mark}"}).import_module("shop")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_one_version_wrote_another_reads_as_its_own(load: Load, protocol: int) -> None:
    old, new = shop(load, "1"), shop(load, "2")
    data = old.write([old.Cart(["tea"]), old.Cart, old.price, old.Colour.RED, old.Cart.Line, len, 1], protocol)
    for reader in (new, old):
        cart, kind, price, colour, line, *others = reader.read(data)
        assert (type(cart), kind, price) == (reader.Cart, reader.Cart, reader.price)
        assert (cart.items, cart.colour, colour, line) == (
            ["tea"],
            reader.Colour.RED,
            reader.Colour.RED,
            reader.Cart.Line,
        )
        assert others == [len, 1]


def test_a_version_that_ended_is_read_by_the_next(load: Load) -> None:
    modules = load({"shop.py": SHOP})
    old = modules.import_module("shop")
    data = old.write(old.Cart(["tea"]))
    assert PREFIX.encode() not in data
    modules.close()
    new = shop(load, "2")
    assert type(new.read(data)) is new.Cart


def test_files_and_classes_of_ones_own_work_the_same(load: Load) -> None:
    source = (
        SHOP
        + """
class Writes(pickle.Pickler):
    def persistent_id(self, value):
        return "here" if value is Cart else None

class Reads(pickle.Unpickler):
    def persistent_load(self, key):
        return Cart

def both(value):
    file = io.BytesIO()
    Writes(file).dump([value, Cart])
    file.seek(0)
    plain = io.BytesIO()
    pickle.dump(value, plain)
    plain.seek(0)
    return Reads(file).load(), pickle.load(plain)
"""
    )
    module = shop(load, "1", source)
    (one, kind), two = module.both(module.Cart(["tea"]))
    assert (one, kind, two) == (module.Cart(["tea"]), module.Cart, module.Cart(["tea"]))


def test_what_cannot_be_found_by_name_is_refused_as_ever(load: Load) -> None:
    module = shop(load, "1", SHOP + "def inner():\n    class Local: pass\n    return Local()\n")
    with pytest.raises((AttributeError, pickle.PicklingError), match="Local"):
        module.write(module.inner())
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        module.write(lambda: None)


def test_a_name_that_the_reader_lacks_is_told_with_both_versions(load: Load, versioned: Versioned) -> None:
    old = versioned("1.2", {"shop.py": SHOP}).import_module("shop")
    modules = versioned("1.3", {"shop.py": SHOP.replace("Cart", "Basket")})
    with pytest.raises(PickledElsewhere) as caught:
        modules.import_module("shop").read(old.write(old.Cart()))
    text = str(caught.value)
    assert text.startswith("shop:Cart was pickled by pricing 1.2 (")
    assert f"and pricing 1.3 ({modules.root.name[:12]}), which reads it, has no such name" in text
    assert isinstance(caught.value, pickle.UnpicklingError)


def test_a_module_that_the_reader_lacks_is_told_too(load: Load) -> None:
    old, new = shop(load, "1"), load({"other.py": SHOP}).import_module("other")
    with pytest.raises(PickledElsewhere, match=r"shop:Cart was pickled by pricing .*has no such name"):
        new.read(old.write(old.Cart()))


NOT_ITS_OWN = [("os", "system"), ("shop", "enum.sys.exit"), ("shop", "len"), ("", "system"), (".shop", "Cart")]


@pytest.mark.parametrize(("module", "name"), NOT_ITS_OWN)
def test_a_pickle_reaches_nothing_but_what_the_plugin_itself_defines(load: Load, module: str, name: str) -> None:
    shop(load, "1", SHOP + "len = len\n")
    with pytest.raises(PickledElsewhere):
        restored("pricing", "", "", module, name)


def test_a_mistake_in_the_module_itself_is_not_taken_for_a_missing_name(load: Load) -> None:
    old = shop(load, "1")
    new = load({"shop.py": "1 / 0", "other.py": SHOP}).import_module("other")
    with pytest.raises(ZeroDivisionError):
        new.read(old.write(old.Cart()))


def test_anybody_can_read_them_while_one_version_is_there(load: Load) -> None:
    modules = load({"shop.py": SHOP})
    module = modules.import_module("shop")
    data = module.write(module.Cart(["tea"]))
    assert pickle.loads(data) == module.Cart(["tea"])
    assert pickle.Unpickler(io.BytesIO(data)).load() == module.Cart(["tea"])
    modules.close()
    with pytest.raises(PickledElsewhere, match="that plugin is not here"):
        pickle.loads(data)


def test_a_pickle_that_somebody_else_wrote_is_read_by_a_later_version_of_the_plugin(load: Load) -> None:
    modules = load({"shop.py": SHOP})
    cart = modules.import_module("shop").Cart(["tea"])
    data = pickle.dumps(cart)
    assert PREFIX.encode() in data
    del cart
    modules.close()
    new = shop(load, "2")
    assert type(new.read(data)) is new.Cart


def test_a_pickle_that_somebody_else_wrote_is_read_as_the_readers_own_while_its_writer_is_here(
    load: Load, versioned: Versioned
) -> None:
    old, new = shop(load, "1"), shop(load, "2")
    carts = [old.Cart(["tea"], old.Colour.RED), old.Cart.Line, old.price]
    read, line, price = new.read(pickle.dumps(carts))
    assert (type(read), line, price) == (new.Cart, new.Cart.Line, new.price)
    assert read.colour is new.Colour.RED
    assert old.read(pickle.dumps(carts)) == carts
    later = versioned("1.3", {"shop.py": SHOP.replace("Cart", "Basket")}).import_module("shop")
    with pytest.raises(PickledElsewhere, match=r"^shop:Cart was pickled by pricing .*and pricing 1.3 \("):
        later.read(pickle.dumps(old.Cart()))


def test_a_pickle_that_somebody_else_wrote_and_reads_names_both_versions(
    versioned: Versioned,
) -> None:
    old = versioned("1.2", {"shop.py": SHOP})
    data = pickle.dumps(old.import_module("shop").Cart())
    digest = old.root.name[:12]
    old.close()
    with pytest.raises(ModuleNotFoundError, match="of a plugin, and no plugin pricing is here"):
        pickle.loads(data)
    new = versioned("1.3", {"shop.py": SHOP + "# 2"})
    with pytest.raises(ModuleNotFoundError, match=rf"of pricing 1.2 \({digest}\), and here is pricing 1.3 \("):
        pickle.loads(data)
    importlib.invalidate_caches()
    with pytest.raises(ModuleNotFoundError, match="and here is pricing 1"):
        pickle.loads(data)
    assert pickle.loads(pickle.dumps(new.import_module("shop").Cart())) == new.import_module("shop").Cart()
