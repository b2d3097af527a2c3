"""Every module of the packages, read as text: what the architecture tests look at."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "workers", ROOT / "supervisor")


@dataclass(frozen=True)
class Module:
    """One source file and every name that it imports, also inside functions."""

    name: str
    path: Path
    imports: frozenset[str]


def modules() -> Iterator[Module]:
    for source in SOURCES:
        for path in sorted(source.rglob("*.py")):
            parts = path.relative_to(source).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield Module(name, path, frozenset(_imports(ast.parse(path.read_text()))))


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = {module.name: module for module in modules()}
