"""Whoever reads or bumps an epoch is named here: registry, pointer and epoch change in one order in one place.

After the audit by search that Spark's hot-swap document recommends, as a test: every place in the
packages that gives out an epoch, stores the commit cell, reads it, or moves a worker's pointer.
"""

import ast
from collections.abc import Callable, Iterator

import pytest

from tests.architecture.sources import MODULES, Module

Site = tuple[str, str]
"""Module, and the name of the function around the place."""


def calls(*names: str) -> Callable[[ast.AST], bool]:
    """Calls of a method or function by one of `names`."""

    def matches(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return called in names

    return matches


def cell_calls(method: str) -> Callable[[ast.AST], bool]:
    """Calls of `method` on something that is called a cell."""

    def matches(node: ast.AST) -> bool:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method):
            return False
        return ast.unparse(node.func.value).split(".")[-1].strip("_") == "cell"

    return matches


def assigns(*attributes: str, of: str) -> Callable[[ast.AST], bool]:
    """Assignments to one of `attributes` of an object that is called `of` (`self` counts in its own module)."""

    def matches(node: ast.AST) -> bool:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        flat = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
        return isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and any(
            isinstance(target, ast.Attribute)
            and target.attr in attributes
            and ast.unparse(target.value).split(".")[-1].strip("_") == of
            for target in flat
        )

    return matches


def sites(matches: Callable[[ast.AST], bool], *, only: str = "changeover.") -> set[Site]:
    return {site for module in MODULES.values() if module.name.startswith(only) for site in _sites(module, matches)}


def _sites(module: Module, matches: Callable[[ast.AST], bool]) -> Iterator[Site]:
    def walk(node: ast.AST, around: str) -> Iterator[Site]:
        for child in ast.iter_child_nodes(node):
            name = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else around
            if matches(child):
                yield module.name, name
            yield from walk(child, name)

    yield from walk(ast.parse(module.path.read_text()), "")


SWITCH = "changeover.workers.generation.switch"
SHELL = "changeover.workers.runtime.shell"
DRIVER = "changeover.supervisor.driver"
REHEARSAL = "changeover.workers.preflight.rehearsal"
SIMULATED = "changeover.workers.generation.simulated"


@pytest.mark.parametrize(
    ("what", "matches", "homes"),
    [
        ("the commit cell is stored", cell_calls("store"), {(DRIVER, "_store_cell")}),
        ("the commit cell is read", cell_calls("read"), {(SWITCH, "admit")}),
        ("the pointer is moved", assigns("current", of="switch"), set()),
        (
            "a generation becomes the prepared one",
            assigns("prepared", of="switch"),
            {(SHELL, "_build"), (REHEARSAL, "_activate")},
        ),
    ],
)
def test_an_epoch_moves_where_it_is_said_to_and_nowhere_else(
    what: str, matches: Callable[[ast.AST], bool], homes: set[Site]
) -> None:
    found = {site for site in sites(matches) if site[0] != SIMULATED}
    assert found == homes, what


def test_only_the_switch_moves_its_own_pointer_and_after_everything_that_can_fail() -> None:
    moved = sites(assigns("current", of="self"), only=SWITCH)
    assert moved == {(SWITCH, "__init__"), (SWITCH, "activate")}


def test_only_the_ledger_counts_epochs_and_only_the_coordinator_takes_one() -> None:
    ledger = "changeover.supervisor.core.ledger"
    counted = {module for module, _ in sites(assigns("given", of="self"), only="changeover.supervisor.core")}
    assert counted == {ledger}
    assert {module for module, _ in sites(calls("give"))} == {"changeover.supervisor.core.coordinator"}
    assert {module for module, _ in sites(calls("raise_to"))} == {"changeover.supervisor.core.reception"}
