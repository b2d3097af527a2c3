"""Whoever starts us with a standard descriptor closed gets no socket in its place."""

import subprocess
import sys

import pytest

REPORT = """
import os, sys
from changeover.supervisor.process.standard_descriptors import fill_standard_descriptors
fill_standard_descriptors()
assert os.dup(0) > 2
assert all(os.get_inheritable(fd) for fd in (0, 1, 2))
print("unheard", file=sys.stderr)
print("unheard", file=sys.stdout)
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_descriptor_is_filled(closed: str) -> None:
    command = f'exec "$0" -c "$1" {closed}'
    assert subprocess.run(["sh", "-c", command, sys.executable, REPORT], timeout=20, check=False).returncode == 0
