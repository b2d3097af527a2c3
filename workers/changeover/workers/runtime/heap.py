"""What the process keeps of the memory that it does not need at the moment, and how often it looks for more of it."""

import gc

KEPT = 1024 * 1024
SELDOM = 10_000
"""New objects after which the collector looks through them."""
DEFAULTS = ((700, 10, 10), (2000, 10, 10), (2000, 10, 0))
"""How often it looks in CPython 3.11 to 3.14 where nobody has said anything."""


def keep_heap() -> None:
    """Keep the end of the heap, up to twice `KEPT`, instead of handing it back and asking again at once.

    glibc hands back whatever is free at the end beyond 128 KiB, so that the pieces of an upload, which come and go,
    cost a quarter more: for pages that are taken away and made anew. It learns by the first large piece that is let go
    which sizes come and go; an environment that sets its limits (`MALLOC_TRIM_THRESHOLD_`) stays in charge.
    """
    bytes(KEPT)


def collect_seldom() -> None:
    """Have the collector look through new objects once there are `SELDOM` of them, unless somebody has set how many.

    Requests that are under way are new objects, and no garbage: with CPython's own 700 those of fifty clients were
    looked through for each bunch that arrived. At older ones it looks for every ten times that it looked at newer ones.
    """
    threshold = gc.get_threshold()
    if threshold in DEFAULTS:
        gc.set_threshold(SELDOM, *threshold[1:])
