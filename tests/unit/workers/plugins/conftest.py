"""Plugins written as text and loaded as the modules of one instance."""

import gc
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from changeover.workers.plugins import artifact
from changeover.workers.plugins.modules import PluginModules

Load = Callable[[dict[str, str]], PluginModules]
Versioned = Callable[[str, dict[str, str]], PluginModules]
Packaged = Callable[[dict[str, str], str], PluginModules]


@pytest.fixture
def opening(tmp_path: Path) -> Iterator[Callable[..., PluginModules]]:
    """Store files and open their modules, as a new instance each time; closed at the end."""
    opened: list[PluginModules] = []
    numbers = itertools.count(1)

    def open_modules(files: dict[str, str], version: str = "1.0", packages: str = "") -> PluginModules:
        content = {name: text.encode() for name, text in files.items()}
        digest = artifact.put(tmp_path / "store", content)
        root = artifact.folder_of(tmp_path / "store", digest)
        name = f"_{digest[:12]}_{next(numbers)}"
        modules = PluginModules("pricing", name, root, content, version=version, packages=packages)
        modules.open()
        opened.append(modules)
        return modules

    yield open_modules
    for modules in opened:
        modules.close()
    opened.clear()
    gc.collect()


@pytest.fixture
def load(opening: Callable[..., PluginModules]) -> Load:
    """Open modules of some version."""
    return opening


@pytest.fixture
def versioned(opening: Callable[..., PluginModules]) -> Versioned:
    """Open modules of a version."""
    return lambda version, files: opening(files, version)


@pytest.fixture
def packaged(opening: Callable[..., PluginModules]) -> Packaged:
    """Open modules with a folder of packages of their own."""
    return lambda files, packages: opening(files, packages=packages)
