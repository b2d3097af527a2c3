"""What a plugin's code sees in place of `importlib`, `pkgutil`, `pickle`, `atexit` and `signal`.

The plugin's `__import__` hands them out. Nobody else sees them, and nothing real is patched.
"""

import atexit
import importlib
import importlib.resources
import importlib.util
import pickle
import pkgutil
import signal
from types import ModuleType

from changeover.workers.plugins.facades import exits, importing, pickling, signals
from changeover.workers.plugins.facades.facade import Modules

_MAKERS = {
    importlib: importing.facade,
    importlib.resources: importing.resources,
    importlib.util: importing.util,
    pkgutil: importing.packages,
    pickle: pickling.facade,
    atexit: exits.facade,
    signal: signals.facade,
}


class Facades:
    """The facades of one plugin instance, each made when its code first imports what it stands for.

    Args:
        modules: The instance's modules.
    """

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._made: dict[str, ModuleType] = {}

    def instead(self, module: ModuleType) -> ModuleType:
        """What the plugin's code gets when it imports `module`: mostly the module itself."""
        for real, make in _MAKERS.items():
            if module is real:
                name = real.__name__
                return self._made.get(name) or self._made.setdefault(name, make(self._modules))
        return module
