"""Makes the probe plugin one of 20 modules, all new in every content, with a task and a thread in code of its own."""

from benchmarks.contents import FIRST, Contents

MODULES = 20
PARTS = MODULES - 3
"""Modules beside those that the probe has anyway."""
PART = '''"""One of many: new in every content, like all of them."""

from dataclasses import dataclass
from typing import Generic, TypeVar

MARKER = "v{first}"
T = TypeVar("T")


@dataclass
class Part{number}(Generic[T]):
    """Has methods, a generic base, and an own name."""

    value: T
    marker: str = MARKER

    def double(self) -> list[T]:
        """Call what is beside it."""
        return pair(self.value)


def pair(value: T) -> list[T]:
    """Answer twice what was given."""
    return [value, value]
'''
ENTRY = '''

import threading  # noqa: E402

{imports}


async def poll() -> None:
    """Never ends by itself."""
    await asyncio.sleep(3600)


def watch(ended: threading.Event) -> None:
    """Ends when it is told so."""
    ended.wait()


class Wide(Probe):
    """The probe with a task and a thread, as plugins that poll have them."""

    def on_activate(self) -> None:
        self.parts = [{made}]
        self.ended = threading.Event()
        self.thread = threading.Thread(target=watch, args=(self.ended,), name="wide")
        self.thread.start()
        self.task = asyncio.create_task(poll(), name="wide")

    def on_unload(self) -> None:
        if ended := getattr(self, "ended", None):
            ended.set()
            self.thread.join()
'''


def widen(contents: Contents) -> None:
    """Put the modules beside those of the probe, and have its plugin import them."""
    numbers = range(1, PARTS + 1)
    parts = {f"probe/part_{number:02}.py": PART.format(first=FIRST, number=number) for number in numbers}
    imports = "\n".join(f"from .part_{number:02} import Part{number}  # noqa: E402" for number in numbers)
    made = ", ".join(f"Part{number}(MARKER).double()" for number in numbers)
    entry = contents.text("probe/__init__.py") + ENTRY.format(imports=imports, made=made)
    manifest = contents.text("plugin.toml").replace('"probe:Probe"', '"probe:Wide"')
    contents.put({**parts, "probe/__init__.py": entry, "plugin.toml": manifest})
