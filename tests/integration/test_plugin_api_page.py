"""The page about the plugin API tells the truth: its examples pass mypy and run, and it names everything public."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import changeover.plugin
import changeover.server
import changeover.testing

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugin-api.md").read_text()
BLOCK = re.compile(r"^```(?:python|toml) (?P<name>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """Every block with a file name, written down."""
    for block in BLOCK.finditer(PAGE):
        file = tmp_path / block["name"]
        file.parent.mkdir(parents=True, exist_ok=True)
        assert not file.exists(), f"{block['name']} is on the page twice"
        file.write_text(block["text"])
    return tmp_path


def test_every_example_runs(examples: Path) -> None:
    tests = sorted(file.name for file in examples.glob("test_*.py"))
    assert len(tests) >= 4
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-W",
        "error",
        *tests,
    ]
    run = subprocess.run(command, cwd=examples, capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_every_example_passes_the_type_checker(examples: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache"), "."]
    run = subprocess.run(command, cwd=examples, capture_output=True, text=True, timeout=110, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    "module", [changeover.plugin, changeover.server, changeover.testing], ids=lambda module: module.__name__
)
def test_everything_public_is_on_the_page(module: object) -> None:
    names = module.__all__  # type: ignore[attr-defined]
    assert [name for name in names if not re.search(rf"\b{name}\b", PAGE)] == []
