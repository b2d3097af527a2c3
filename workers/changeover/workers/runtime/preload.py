"""Imports the application once, before any fork, and notices threads that this starts.

A thread does not survive a fork while the locks it holds do, so a process that has threads must
not fork. Which module is to blame is found by counting threads around every import.
"""

import builtins
import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import resolve_name
from pathlib import Path
from types import ModuleType

from changeover.workers.generation.pinning import pin_application
from changeover.workers.plugins.refused import ContractBroken, Origin, Site, refusal_of
from changeover.workers.protocol.forking import Preload
from changeover.workers.protocol.refusal import Refusal, Stage
from changeover.workers.serving.application import load


class ThreadsStarted(ContractBroken):
    """Importing the application started threads, and it is to be preloaded strictly.

    Attributes:
        modules: Modules whose import started them, innermost first; empty when nobody knows.
    """

    def __init__(self, modules: tuple[str, ...]) -> None:
        self.modules = modules
        super().__init__(
            f"importing {', '.join(modules) or 'it'} started threads, and a process that has threads cannot be forked; "
            "start them in the lifespan, or set `preload = true`: then its workers import after the fork"
        )


class ThreadWatch:
    """Counts threads around imports.

    Attributes:
        modules: Modules whose import started threads, innermost first.
    """

    def __init__(self) -> None:
        self.modules: list[str] = []
        self._known = count_threads()

    def look(self, module: str) -> None:
        """Blame `module` for threads that were not there at the last look."""
        now = count_threads()
        if now > self._known:
            self.modules.append(module)
        self._known = now

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look after each import that brings a module which is not there yet."""
        original = builtins.__import__

        def watched(
            name: str,
            globals: Mapping[str, object] | None = None,
            locals: Mapping[str, object] | None = None,
            fromlist: Sequence[str] | None = (),
            level: int = 0,
        ) -> ModuleType:
            full = _absolute(name, globals, level)
            fresh = full not in sys.modules
            module = original(name, globals, locals, fromlist or (), level)
            if fresh:
                self.look(full)
            return module

        builtins.__import__ = watched
        try:
            yield
        finally:
            builtins.__import__ = original


def count_threads() -> int:
    """Threads of this process, those that Python does not know of included."""
    return len(os.listdir("/proc/self/task"))


def preload(wanted: Preload) -> tuple[str, ...]:
    """Import the application.

    Args:
        wanted: A factory is imported and not called: each worker makes its own instance.

    Returns:
        Modules that started threads, empty when this process may fork.

    Raises:
        ApplicationNotLoaded: There is no such application.
        ThreadsStarted: This process may not fork, and is to be able to.
        ChangeoverError: Its content cannot be had, or is not to be imported with what is installed now.
        BaseException: Whatever its module raises.
    """
    directory = Path(wanted.directory)
    pin_application(Path(wanted.store), directory, wanted.artifact, wanted.distributions)
    watch = ThreadWatch()
    module = wanted.target.partition(":")[0]
    with watch.watching():
        if wanted.factory:
            prepend_path((wanted.directory,))
            importlib.import_module(module)
        else:
            load(wanted.target, directory=directory, interface=wanted.interface)
    watch.look(module)
    if count_threads() == 1:
        return ()
    if wanted.strict:
        raise ThreadsStarted(tuple(watch.modules))
    return tuple(watch.modules)


def prepend_path(directories: Sequence[str]) -> None:
    """Put directories first on the import path, in this order."""
    sys.path[:] = [*directories, *(entry for entry in sys.path if entry not in directories)]


def refusal_of_preload(wanted: Preload, error: BaseException) -> Refusal:
    """Say why the application cannot be imported."""
    origin = Origin(Path(wanted.directory).absolute())
    return refusal_of(error, Site(Stage.LOAD, f"application {wanted.target}", origin=origin))


def _absolute(name: str, globals: Mapping[str, object] | None, level: int) -> str:
    package = (globals or {}).get("__package__")
    if level == 0 or not isinstance(package, str) or not package:
        return name
    return resolve_name("." * level + name, package)
