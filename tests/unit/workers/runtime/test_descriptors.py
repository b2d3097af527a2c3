"""Room for descriptors."""

import os
import resource
from pathlib import Path

import pytest

from changeover.workers.runtime.descriptors import PREPARED, make_room
from tests.handover import descriptors


@pytest.mark.parametrize("limit", [300, 1000, PREPARED + 1000])
def test_room_is_made_as_far_as_the_limit_allows_and_nothing_stays_open(limit: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = min(limit, hard)
    child = os.fork()  # its table is no larger than what is open needs
    if child == 0:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            before = descriptors()
            make_room()
            status = 0 if room() >= min(soft, PREPARED) and descriptors() == before else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def room() -> int:
    """For how many descriptors this process has room."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("FDSize:"))
