"""A worker between its fork and its beginning, as its zygote holds it."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from changeover.workers.protocol.identity import WorkerId
from changeover.workers.runtime.newborn import Newborn


def newborn(go: int) -> Newborn:
    process: Any = SimpleNamespace(pid=os.getpid())
    return Newborn(WorkerId(1, 0, 1), process, -1, -1, go, frozenset(), 0)


def test_it_is_told_once_to_begin() -> None:
    waits, go = os.pipe()
    child = newborn(go)
    child.begin()
    child.begin()
    assert os.read(waits, 10) == b"!"
    assert os.read(waits, 10) == b""
    os.close(waits)


def test_one_that_was_killed_before_it_began_does_not_take_its_zygote_along() -> None:
    waits, go = os.pipe()
    child = newborn(go)
    os.close(waits)
    child.begin()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(go)
