"""Native modules of plugins: the system's loader never lets go of one, so a process has one content of each.

A server replaces a plugin with native modules by a roll, and every process loads what it was made for. Wherever else
another content is to be loaded, in a test, it is refused before any of its code has run: some natives would end the
process, and others would hand out what the first content made.
"""

from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from pathlib import PurePosixPath
from types import ModuleType

_SUFFIXES = (".so", ".pyd")
_loaded: dict[tuple[str, str], str] = {}
"""Plugin and module -> digest of the content that this process has it from."""


def is_native(name: str) -> bool:
    """Whether a file of this name is a native module, of any interpreter's."""
    return name.endswith(_SUFFIXES)


def stem_of(name: str) -> str:
    """The module's name where a file is a native module for this interpreter; else empty."""
    stems = (name.removesuffix(suffix) for suffix in EXTENSION_SUFFIXES if name.endswith(suffix))
    return next(filter(str.isidentifier, stems), "")


def foreign(names: Iterable[str]) -> dict[str, str]:
    """Native modules that other interpreters load: name without its suffixes, with `/` -> file."""
    found = {}
    for path in map(PurePosixPath, names):
        if is_native(path.name) and not stem_of(path.name):
            found[path.with_name(path.name.partition(".")[0]).as_posix()] = path.name
    return found


class NativeLoader(ExtensionFileLoader):
    """Loads one native module from the store.

    Args:
        fullname: Its private name.
        path: Its file.
        plugin: The plugin's id.
        content: Digest of the artifact that it is of.
    """

    def __init__(self, fullname: str, path: str, plugin: str, content: str) -> None:
        super().__init__(fullname, path)
        self._plugin = plugin
        self._content = content

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Load it, where this process has no other content of it.

        Raises:
            ImportError: It has.
        """
        name = ".".join(spec.name.split(".")[3:])
        there = _loaded.get((self._plugin, name), self._content)
        if there != self._content:
            raise ImportError(
                f"native module {name} of {self._plugin} is in this process already, from content {there[:12]}, and a "
                f"process cannot load a second one ({self._content[:12]}): servers replace such a plugin by a roll",
                name=name,
            )
        module = super().create_module(spec)
        _loaded[self._plugin, name] = self._content
        return module
