"""The end of the heap stays: what comes and goes is not paid for again each time."""

import subprocess
import sys
import textwrap

import pytest

from changeover.workers.runtime.heap import SELDOM

PROGRAM = """
    import resource
    from changeover.workers.runtime.heap import keep_heap

    if {kept}:
        keep_heap()
    for _ in range(100):
        pieces = [b"x" * 98304 for _ in range(4)]
        del pieces
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def faults(*, kept: bool) -> int:
    program = textwrap.dedent(PROGRAM.format(kept=kept))
    return int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60).stdout)


def test_pieces_that_come_and_go_take_their_pages_once() -> None:
    assert faults(kept=True) < faults(kept=False) - 1000


COLLECTING = """
    import gc
    {before}
    from changeover.workers.runtime.heap import collect_seldom

    collect_seldom()
    print(*gc.get_threshold())
"""


THRESHOLDS = {
    "": SELDOM,
    "gc.set_threshold(5, 6, 7)": 5,
    "gc.set_threshold(0)": 0,
    "gc.set_threshold(50_000, 20, 20)": 50_000,
}


@pytest.mark.parametrize(("before", "threshold"), THRESHOLDS.items())
def test_the_collector_looks_seldom_unless_an_application_says_otherwise(before: str, threshold: int) -> None:
    program = textwrap.dedent(COLLECTING.format(before=before))
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60).stdout
    assert int(told.split()[0]) == threshold
