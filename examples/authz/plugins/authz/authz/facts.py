"""Facts: those that the plugin brings, and what was written since."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from authz.datalog import DatalogInvalid, fact, statements
from authz.files import shown

Atoms = frozenset[str]
"""Facts, each in its one form."""


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody writes: facts that hold from now on, and facts that do so no more.

    Attributes:
        add: Facts that hold.
        remove: Facts that hold no more; one that is in both holds.
    """

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    def checked(self) -> "Change":
        """The same, each fact in its one form.

        Raises:
            DatalogInvalid: One of them is no fact, or there is none.
        """
        if not self.add and not self.remove:
            raise DatalogInvalid("change", "neither `add` nor `remove` has a fact")
        return Change(tuple(map(fact, self.add)), tuple(map(fact, self.remove)))


class Facts:
    """The facts that a plugin's files state; immutable.

    Attributes:
        atoms: They.
    """

    __slots__ = ("atoms",)

    def __init__(self, paths: Sequence[Path]) -> None:
        self.atoms: Atoms = frozenset(atom for path in paths for atom in _stated(path))


def after(atoms: Atoms, changes: Iterable[Change]) -> Atoms:
    """What holds after some changes."""
    held = set(atoms)
    for change in changes:
        held.difference_update(change.remove)
        held.update(change.add)
    return frozenset(held)


def _stated(path: Path) -> list[str]:
    stated = []
    for statement in statements(path):
        begin = statement.location.begin
        text = str(statement)
        if statement.body:
            raise DatalogInvalid(f"{shown(path)}:{begin.line}:{begin.column}", f"a rule among facts: {text}")
        try:
            stated.append(fact(text.removesuffix(".")))
        except DatalogInvalid as error:
            raise DatalogInvalid(f"{shown(path)}:{begin.line}:{begin.column}", error.reason) from None
    return stated
