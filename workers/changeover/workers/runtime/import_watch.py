"""Watches an import module by module: how long each takes, and what appears while it runs."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from typing import Any

from changeover.workers.protocol.examination import ModuleTime

EXECUTING = (
    (SourceFileLoader, "exec_module"),
    (SourcelessFileLoader, "exec_module"),
    (ExtensionFileLoader, "create_module"),
    (ExtensionFileLoader, "exec_module"),
)
"""Where Python runs the code of a module out of a file; an extension may do its work in either step."""


@dataclass(slots=True)
class _Running:
    """A module that is being run.

    Attributes:
        name: Its name.
        inside: Seconds that were spent in modules that it imports, and in looking after them.
    """

    name: str
    inside: float = 0.0


class _Nested(threading.local):
    """The modules that one thread is running, outermost first."""

    def __init__(self) -> None:
        self.running: list[_Running] = []


class ImportWatch:
    """Times modules, and asks before and after each which things are there.

    Args:
        things: What to look for: anything that can be compared and is the same as long as it is there.

    Attributes:
        blamed: Each thing that appeared -> the innermost module that was imported when it did.
        looking: Seconds spent in looking, which no module is charged with.
    """

    def __init__(self, things: Callable[[], frozenset[str]]) -> None:
        self._things = things
        self._known = things()
        self._nested = _Nested()
        self._own: dict[str, float] = {}
        self.blamed: dict[str, str] = {}
        self.looking = 0.0

    def modules(self) -> tuple[ModuleTime, ...]:
        """Every module that was run, slowest first."""
        return tuple(ModuleTime(name, own) for name, own in sorted(self._own.items(), key=lambda timed: -timed[1]))

    def look(self, module: str) -> None:
        """Blame `module` for what was not there at the last look."""
        now = self._things()
        for thing in now - self._known:
            self.blamed.setdefault(thing, module)
        self._known = now

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch every module that is run."""
        originals = [(loader, name, vars(loader).get(name)) for loader, name in EXECUTING]
        for loader, name in EXECUTING:
            setattr(loader, name, self._timed(getattr(loader, name)))
        try:
            yield
        finally:
            for loader, name, original in originals:
                if original is None:
                    delattr(loader, name)
                else:
                    setattr(loader, name, original)

    def _timed(self, original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def run(loader: Any, subject: Any) -> Any:
            entered = time.perf_counter()
            running = self._nested.running
            if running:
                self.look(running[-1].name)
            running.append(_Running(getattr(subject, "__spec__", subject).name))
            began = time.perf_counter()
            try:
                return original(loader, subject)
            finally:
                self._charge(running.pop(), entered, began)

        return run

    def _charge(self, module: _Running, entered: float, began: float) -> None:
        ended = time.perf_counter()
        self._own[module.name] = self._own.get(module.name, 0.0) + ended - began - module.inside
        self.look(module.name)
        now = time.perf_counter()
        self.looking += now - ended + began - entered
        if self._nested.running:
            self._nested.running[-1].inside += now - entered
