"""Rules: what follows from facts. They are derived by clingo's grounder, which for Datalog leaves nothing to solve."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import clingo
import msgspec

from authz.datalog import DatalogInvalid, place, statements
from authz.facts import Atoms
from authz.files import shown, text

Value = str | int


class Relations(msgspec.Struct, frozen=True):
    """What policies see of what follows.

    Attributes:
        above: Entity -> what it is in: its groups, folders, and theirs.
        attributes: Entity -> name -> its values.
    """

    above: dict[str, list[str]]
    attributes: dict[str, dict[str, list[Value]]]


class Rules:
    """The rules of a plugin's files; immutable.

    Args:
        paths: The files.

    Raises:
        DatalogInvalid: One of them has something else than Datalog in it, or a rule that could derive anything.
    """

    __slots__ = ("_text",)

    def __init__(self, paths: Sequence[Path]) -> None:
        self._text = "\n".join(map(_checked, paths))

    def derive(self, facts: Atoms) -> Relations:
        """All that follows from some facts."""
        control = _ground("rules", self._text, "".join(f"{each}.\n" for each in facts))
        return Relations(_above(_arguments(control, "in", 2)), _attributes(_arguments(control, "attribute", 3)))


def _checked(path: Path) -> str:
    """The text of a file that can be derived from."""
    rules = "\n".join(map(str, statements(path)))
    _ground(shown(path), text(path))
    return rules


def _ground(name: str, *texts: str) -> clingo.Control:
    said = list[str]()
    control = clingo.Control(["--warn=none"], logger=lambda code, words: said.append(words))
    try:
        for each in texts:
            control.add("base", [], each)
        control.ground([("base", [])])
    except RuntimeError as error:
        where, reason = place(said[0] if said else f": {error}")
        raise DatalogInvalid(f"{name}{where}", reason) from None
    return control


def _arguments(control: clingo.Control, name: str, arity: int) -> list[list[Value]]:
    """Sorted, so that a decision never depends on the order in which things were derived."""
    atoms = control.symbolic_atoms.by_signature(name, arity)
    return sorted(([_value(each) for each in atom.symbol.arguments] for atom in atoms), key=repr)


def _value(symbol: clingo.Symbol) -> Value:
    if symbol.type is clingo.SymbolType.Number:
        return symbol.number
    return symbol.string if symbol.type is clingo.SymbolType.String else symbol.name


def _above(rows: Iterable[list[Value]]) -> dict[str, list[str]]:
    above: dict[str, list[str]] = {}
    for entity, other in rows:
        if entity != other:
            above.setdefault(str(entity), []).append(str(other))
    return above


def _attributes(rows: Iterable[list[Value]]) -> dict[str, dict[str, list[Value]]]:
    attributes: dict[str, dict[str, list[Value]]] = {}
    for entity, name, value in rows:
        attributes.setdefault(str(entity), {}).setdefault(str(name), []).append(value)
    return attributes
