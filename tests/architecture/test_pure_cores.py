"""What decides does not act: the two machines know no sockets, clocks, chance, logs, or operating system."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORES = (
    ROOT / "supervisor" / "changeover" / "supervisor" / "core",
    ROOT / "workers" / "changeover" / "workers" / "participant",
)
HANDOVER = ROOT / "workers" / "changeover" / "workers" / "handover"
PASSING = (
    "adoption",
    "effects",
    "events",
    "inbound",
    "messages",
    "outbound",
    "parting",
    "receiver",
    "sender",
    "spread",
)
"""What decides in a handover; the rest of its package acts."""
ALLOWED = {"collections", "dataclasses", "enum", "hashlib", "itertools", "operator", "typing", "msgspec"}
MODULES = [
    *(path for core in CORES for path in sorted(core.glob("*.py"))),
    *(HANDOVER / f"{name}.py" for name in PASSING),
]


def imported(path: Path) -> set[str]:
    """Every module that `path` imports, in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_a_module_of_a_core_imports_only_what_is_pure(path: Path) -> None:
    own = (
        "changeover.supervisor.core",
        "changeover.workers.participant",
        "changeover.workers.protocol",
        "changeover.workers.handover",
        "changeover.workers.channel.luggage",
    )
    foreign = {
        name
        for name in imported(path)
        if name.partition(".")[0] not in ALLOWED and not name.startswith((*own, "changeover.workers.errors"))
    }
    assert not foreign


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_a_state_changes_only_by_what_its_table_says(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign | ast.AnnAssign) and any(changes_state(target) for target in targets(node)):
            source = ast.unparse(node)
            assert ".after(" in source or "TABLE.start" in source, f"{path.name}: {source}"


def targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    """What an assignment assigns to."""
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def changes_state(target: ast.expr) -> bool:
    """Whether an assignment to `target` changes a state."""
    return isinstance(target, ast.Attribute) and target.attr == "state"


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.name)
def test_a_core_judges_staleness_in_one_place(core: Path) -> None:
    places = [path.name for path in sorted(core.glob("*.py")) for _ in range(path.read_text().count(" fence("))]
    assert places == ["machine.py"]
