"""`importlib`, with an `import_module` that knows the plugin's own names."""

import importlib

from changeover.workers.plugins.facades.facade import Facade, Modules


def facade(modules: Modules) -> Facade:
    """What the code of `modules` sees as `importlib`."""
    return Facade(importlib, import_module=modules.import_module)
