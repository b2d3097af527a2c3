"""The diagrams in the documents show the tables in the code."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(path: Path) -> ModuleType:
    """Import a script by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


draw = load(ROOT / "docs" / "draw.py")


@pytest.mark.parametrize("name", sorted(draw.pages()))
def test_a_page_shows_its_table(name: str) -> None:
    page = ROOT / "docs" / "diagrams" / name
    assert page.is_file(), f"`make docs` draws {name}"
    assert page.read_text() == draw.pages()[name], f"{name} is stale: `make docs` draws it again"


def test_no_page_is_left_over() -> None:
    assert {page.name for page in (ROOT / "docs" / "diagrams").glob("*.md")} == set(draw.pages())


def test_every_table_is_drawn() -> None:
    sources = [*ROOT.glob("supervisor/**/*.py"), *ROOT.glob("workers/**/*.py")]
    with_table = {path.stem for path in sources if "\nTABLE: Table[" in path.read_text()}
    assert with_table == {name.rpartition(".")[2] for name in draw.MODULES}
