"""A module that stands for a real one, with some of its names replaced."""

from types import ModuleType
from typing import Protocol

from changeover.workers.plugins.opened import Opened
from changeover.workers.serving.attribution import UnitWork


class Modules(Opened, Protocol):
    """What facades need of a plugin's modules."""

    work: UnitWork

    def owns(self, name: str) -> bool:
        """Whether an absolute module name is the plugin's own."""


class Facade(ModuleType):
    """Stands for a real module.

    Args:
        real: What it stands for; names that it gets later are found too.
        replaced: What is not the real module's.
    """

    def __init__(self, real: ModuleType, **replaced: object) -> None:
        super().__init__(real.__name__, real.__doc__)
        self.__dict__.update({**vars(real), **replaced})
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)
