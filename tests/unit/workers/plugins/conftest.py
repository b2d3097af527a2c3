"""Plugins written as text and loaded as the modules of one instance."""

import gc
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from changeover.workers.plugins import artifact
from changeover.workers.plugins.modules import PluginModules

Load = Callable[[dict[str, str]], PluginModules]


Versioned = Callable[[str, dict[str, str]], PluginModules]


@pytest.fixture
def versioned(tmp_path: Path) -> Iterator[Versioned]:
    """Store files and open their modules, as a new instance of a version each time; closed at the end."""
    opened: list[PluginModules] = []
    numbers = itertools.count(1)

    def open_modules(version: str, files: dict[str, str]) -> PluginModules:
        content = {name: text.encode() for name, text in files.items()}
        digest = artifact.put(tmp_path / "store", content)
        root = artifact.folder_of(tmp_path / "store", digest)
        name = f"_{digest[:12]}_{next(numbers)}"
        modules = PluginModules("pricing", name, root, content, version=version)
        modules.open()
        opened.append(modules)
        return modules

    yield open_modules
    for modules in opened:
        modules.close()
    opened.clear()
    gc.collect()


@pytest.fixture
def load(versioned: Versioned) -> Load:
    """Open modules of some version."""
    return partial(versioned, "1.0")
