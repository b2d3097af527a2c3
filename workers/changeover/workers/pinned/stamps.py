"""When folders were changed last: as long as that stays the same, nothing was installed in them or removed."""

import os
import time
from collections.abc import Iterable
from typing import Self

import msgspec

SETTLED = 2 * 10**9
"""Nanoseconds until a folder's time of change tells what came before it from what may come yet."""


class Stamps(msgspec.Struct, frozen=True):
    """When each of some folders was changed last.

    Attributes:
        times: Folder -> nanoseconds since the epoch, 0 for one that is not there.
        taken: When they were asked for, likewise.
    """

    times: dict[str, int]
    taken: int

    @classmethod
    def of(cls, folders: Iterable[str]) -> Self:
        """Ask for them. Take stamps first and look into the folders then."""
        return cls({folder: _changed(folder) for folder in folders}, time.time_ns())

    @property
    def settled(self) -> bool:
        """Whether every change from now on will show: none was so short ago that another could have its time."""
        return all(changed < self.taken - SETTLED for changed in self.times.values())

    def hold(self) -> bool:
        """Whether no folder was changed since."""
        return all(_changed(folder) == changed for folder, changed in self.times.items())


def _changed(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0
