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
        before = _ours()
        gc.collect()
        found.update(before - _ours())
    finally:
        gc.enable()


def _ours() -> Counter[str]:
    return Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in map(type, gc.get_objects()) if _is_ours(kind))


def _is_ours(kind: type) -> bool:
    module = str(kind.__module__)  # of some types it is a descriptor
    return module.startswith(OURS) or module in OTHERS
