"""Which extension points code may ask through modules that others imported first."""

import sys
from types import ModuleType

import pytest

from changeover.workers.plugins.points import points_behind

POINTS = {"till_core": {"shop.pricing"}}


class Lazy(ModuleType):
    """A module that loads, and so runs code, when anything is asked of it."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"{name} was asked of a lazy module")


class Proxy:
    """Stands for something that is made when it is first used."""

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(f"{name} was asked of a proxy")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """Modules of the names that a test asks for."""
    made = {name: ModuleType(name) for name in ("till_core", "till", "till_front", "till_aside")}
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


def from_core(kind: str) -> object:
    """A value whose home is the module that made the point."""

    class Total:
        pass

    def total() -> None: ...

    Total.__module__ = total.__module__ = "till_core"
    return {"function": total, "class": Total, "object": Total(), "module": sys.modules["till_core"]}[kind]


@pytest.mark.parametrize("kind", ["function", "class", "object", "module"])
def test_a_module_leads_to_whoever_its_values_are_from(installed: dict[str, ModuleType], kind: str) -> None:
    vars(installed["till"])["total"] = from_core(kind)
    vars(installed["till_front"])["till"] = installed["till"]
    assert points_behind({"till_front"}, POINTS) == {"shop.pricing"}
    assert points_behind({"till_core"}, POINTS) == {"shop.pricing"}
    assert points_behind({"till_aside", "json", "not_imported_any_more"}, POINTS) == set()


def test_modules_that_refer_to_each_other_are_looked_at_once(installed: dict[str, ModuleType]) -> None:
    vars(installed["till"])["front"] = installed["till_front"]
    vars(installed["till_front"])["till"] = installed["till"]
    assert points_behind({"till"}, POINTS) == set()


def test_nothing_lazy_is_touched(installed: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = Lazy("till_lazy")
    monkeypatch.setitem(sys.modules, "till_lazy", lazy)
    object.__getattribute__(lazy, "__dict__")["core"] = installed["till_core"]
    vars(installed["till"]).update(lazy=lazy, proxy=Proxy(), unhashable=[Proxy()])
    assert points_behind({"till"}, POINTS) == {"shop.pricing"}


def test_where_nobody_made_a_point_nothing_is_looked_at() -> None:
    assert points_behind({"json"}, {}) == set()
