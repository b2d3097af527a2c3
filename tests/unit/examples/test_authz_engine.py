"""The authorization example's engine: when it derives, and by which facts it answers."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.authz import EXAMPLE


@pytest.fixture
def authz(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The plugin's package, imported as anybody does."""
    monkeypatch.syspath_prepend(EXAMPLE / "plugins" / "authz")
    yield importlib.import_module("authz")
    for name in [name for name in sys.modules if name.partition(".")[0] == "authz"]:
        del sys.modules[name]


def module(authz: ModuleType, name: str) -> Any:
    return importlib.import_module(f"{authz.__name__}.{name}")


class Rules:
    """From which nothing follows, as often as somebody derives.

    Attributes:
        derived: How often.
    """

    def __init__(self, authz: ModuleType) -> None:
        self.derived = 0
        self._nothing = module(authz, "rules").Relations({}, {})

    def derive(self, facts: object) -> Any:
        self.derived += 1
        return self._nothing


class Growing:
    """A ledger with one more change in it whenever somebody looks."""

    def __init__(self, change: object) -> None:
        self._size = 0
        self._change = change

    def size(self) -> int:
        self._size += 1
        return self._size

    def since(self, version: int) -> Iterator[tuple[int, object]]:
        for each in range(version, self._size):
            yield each + 1, self._change


def engine(authz: ModuleType, rules: Rules, ledger: object) -> Any:
    made = module(authz, "engine")
    facts, policies = module(authz, "facts").Facts([]), module(authz, "policies").Policies([])
    return made.Engine(made.Parts(facts, rules, policies), ledger)


def test_a_list_is_answered_by_the_facts_of_one_look(authz: ModuleType) -> None:
    change = module(authz, "facts").Change(add=("n(1)",))
    decides = engine(authz, Rules(authz), Growing(change))
    question = module(authz, "questions").Question("User::ann", "read", "Reel::nosferatu")
    decode, decision = module(authz, "engine").msgspec.json.decode, module(authz, "questions").Decision
    for version in (1, 2):
        told = [decode(bytes(each), type=decision) for each in decides.decide(1, [question] * 3)]
        assert [each.facts for each in told] == [version] * 3


def test_what_follows_is_derived_once_for_each_version(authz: ModuleType, tmp_path: Path) -> None:
    """Also behind the half line of a killed writer, at which everybody looks until somebody writes."""
    rules, change = Rules(authz), module(authz, "facts").Change(add=("n(1)",))
    ledger = module(authz, "ledger").Ledger(tmp_path / "facts.log")
    decides = engine(authz, rules, ledger)
    assert (decides.known.version, rules.derived) == (0, 1)
    written = ledger.write(change)
    assert [decides.known.version, decides.known.version, rules.derived] == [written, written, 2]
    with (tmp_path / "facts.log").open("ab") as file:
        file.write(b"x" * written)
    assert [decides.known.version, decides.known.version, rules.derived] == [written, written, 2]
    assert ledger.write(change) == (tmp_path / "facts.log").stat().st_size == 2 * written
    assert [decides.known.version, decides.known.version, rules.derived] == [2 * written, 2 * written, 3]
