"""Whether an application can be found, by looking for its files: nothing of it is imported. Blocks on the disk."""

import pkgutil
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

from changeover.supervisor.config.settings import App
from changeover.workers.protocol.document import Mistake


def mistakes(app: App | None, python: str = "") -> list[Mistake]:
    """Say that the application's folder or its module is not there.

    Args:
        app: Its settings; None for plugins alone.
        python: The interpreter that imports it, empty for ours: what is installed for another one is not known here.
    """
    if app is None:
        return []
    if not Path(app.dir).is_dir():
        return [Mistake("$.app.dir", f"there is no folder {app.dir}")]
    module = app.target.partition(":")[0]
    if python or is_there(module, app.dir):
        return []
    missing = f"there is no module {module!r} in {app.dir} or on the Python path; name its folder with --app-dir"
    return [Mistake("$.app.target", missing)]


def is_there(module: str, folder: str) -> bool:
    """Whether a module lies in the folder, or is installed for this interpreter."""
    top, *below = module.split(".")
    # Finders look and import nothing; importlib's own find_spec would import the parents of a name with dots.
    installed = (finder.find_spec(top, None) for finder in sys.meta_path)
    found = [spec for spec in (_lying_in(folder, top), *installed) if spec is not None]
    for name in below:
        places = [place for spec in found for place in spec.submodule_search_locations or ()]
        found = [spec for place in places if (spec := _lying_in(place, name)) is not None]
    return bool(found)


def _lying_in(folder: str, name: str) -> ModuleSpec | None:
    finder = pkgutil.get_importer(folder)
    return None if finder is None else finder.find_spec(name, None)
