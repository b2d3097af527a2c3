"""What only the garbage collector would find of what a test did."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

OURS = "changeover."
OTHERS = frozenset({"uvloop.loop", "websockets.server"})
"""Modules of those who hold what our connections consist of."""


@contextmanager
def cycles(found: Counter[str]) -> Iterator[None]:
    """Count by type all of ours that is made meanwhile and kept from being free by nothing but itself."""
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(_name(each) for each in gc.garbage if _is_ours(type(each)))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _name(each: object) -> str:
    return f"{type(each).__module__}.{type(each).__qualname__}"


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith(OURS) or kind.__module__ in OTHERS
