"""`pickle`, for data that outlives the version that wrote it.

Python names classes and functions in pickles by module, and the modules of plugins have private
names. Plugin code writes the plugin's id and its own name for them instead, so that the version
that reads them finds its own.
"""

import io
import pickle
from functools import partial
from types import FunctionType
from typing import Any, NamedTuple

from changeover.workers.errors import ChangeoverError
from changeover.workers.plugins import opened
from changeover.workers.plugins.facades.facade import Facade, Modules
from changeover.workers.plugins.opened import Opened


class PickledElsewhere(ChangeoverError, pickle.UnpicklingError):
    """A pickle names a class or function that the version which reads it lacks.

    Attributes:
        name: What is missing, as `module:name`.
        written: Which content of the plugin wrote it.
        reads: Which one reads it; empty when the plugin is not here.
    """

    def __init__(self, name: str, written: str, reads: str) -> None:
        self.name = name
        self.written = written
        self.reads = reads
        here = f"{reads}, which reads it, has no such name: keep it there, or pickle what does not change"
        super().__init__(f"{name} was pickled by {written}, and {here if reads else 'that plugin is not here'}")


class _Written(NamedTuple):
    """What stands in a pickle for a class or function of a plugin."""

    plugin: str
    version: str
    digest: str
    module: str
    name: str

    def of(self, reader: Opened | None) -> object:
        """The same of the version that reads, whose own it must be: who lets plugins be read lets nothing else in.

        Raises:
            PickledElsewhere: It has none.
        """
        try:
            if reader is not None and reader.owns(self.module):
                found = _at(reader.import_module(self.module), self.name)
                if _is_of(found, reader):
                    return found
        except (ModuleNotFoundError, AttributeError):
            pass
        written = opened.content(self.plugin, self.version, self.digest)
        raise PickledElsewhere(f"{self.module}:{self.name}", written, opened.told(reader) if reader else "")


def restored(plugin: str, version: str, digest: str, module: str, name: str) -> object:
    """The class or function that a pickle means, of the generation that reads it. Pickles name this function.

    Args:
        plugin: The id of the plugin whose it is.
        version: The plugin's, when it was pickled.
        digest: Of the content then.
        module: The module, as the plugin's code calls it.
        name: The qualified name there.

    Raises:
        PickledElsewhere: The version that reads has none; the message names both.
    """
    return _Written(plugin, version, digest, module, name).of(opened.meant(plugin))


restored.__module__ = "changeover.plugin"


class Pickler(pickle.Pickler):
    """Writes the plugins' own names of their classes and functions."""

    def reducer_override(self, value: Any) -> Any:
        """`pickle`'s protocol."""
        written = _written(value) if isinstance(value, type | FunctionType) else None
        return NotImplemented if written is None else (restored, tuple(written))


def _written(value: type | FunctionType) -> _Written | None:
    """How to name it; None for what is nobody's, or not found by its name."""
    owner = opened.owner(value.__module__)
    if owner is None:
        return None
    module = value.__module__.removeprefix(f"{owner.package}.")
    try:
        if _at(owner.import_module(module), value.__qualname__) is not value:
            return None
    except (ModuleNotFoundError, AttributeError):
        return None
    return _Written(owner.plugin, owner.version, owner.root.name, module, value.__qualname__)


def _at(value: object, name: str) -> object:
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _is_of(found: object, reader: Opened) -> bool:
    module = getattr(found, "__module__", None)
    return isinstance(module, str) and f"{module}.".startswith(f"{reader.package}.")


def facade(modules: Modules) -> Facade:
    """What the code of `modules` sees as `pickle`."""

    class Unpickler(pickle.Unpickler):
        """Reads classes of this plugin as those of this version."""

        def find_class(self, module: str, name: str) -> Any:
            """`pickle`'s protocol."""
            if (module, name) == (restored.__module__, restored.__name__):
                return partial(_restored_in, modules)
            writer = opened.owner(module)
            if module.startswith(f"{opened.PREFIX}.") and writer is not modules:
                plugin, instance, own = [*module.split(".", 3), "", ""][1:4]
                return _restored_in(modules, plugin, writer.version if writer else "", instance, own, name)
            return super().find_class(module, name)

    def dump(value: object, file: Any, protocol: int | None = None, **options: Any) -> None:
        """As `pickle.dump`."""
        Pickler(file, protocol, **options).dump(value)

    def dumps(value: object, protocol: int | None = None, **options: Any) -> bytes:
        """As `pickle.dumps`."""
        file = io.BytesIO()
        Pickler(file, protocol, **options).dump(value)
        return file.getvalue()

    def load(file: Any, **options: Any) -> Any:
        """As `pickle.load`."""
        return Unpickler(file, **options).load()

    def loads(data: Any, /, **options: Any) -> Any:
        """As `pickle.loads`."""
        return Unpickler(io.BytesIO(data), **options).load()

    return Facade(pickle, Pickler=Pickler, Unpickler=Unpickler, dump=dump, dumps=dumps, load=load, loads=loads)


def _restored_in(modules: Opened, plugin: str, version: str, digest: str, module: str, name: str) -> object:
    reader = modules if plugin == modules.plugin else opened.meant(plugin)
    return _Written(plugin, version, digest, module, name).of(reader)
