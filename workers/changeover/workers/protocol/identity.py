"""Who a worker is: never a pid, because a pid can be recycled."""

from typing import Self

import msgspec


class WorkerId(msgspec.Struct, frozen=True, order=True):
    """One worker process: the numbered place it fills and the number of the process in it.

    Attributes:
        cohort: The cohort whose zygote forked it, from 1.
        slot: The numbered place, from 0.
        incarnation: The process's own number, given by the supervisor, unique per journal and never reused.
    """

    cohort: int
    slot: int
    incarnation: int

    def routing(self) -> bytes:
        """Name the worker on the wire: its ROUTER identity and its own broadcast topic."""
        return f"{self.cohort}.{self.slot}.{self.incarnation}".encode()

    @classmethod
    def from_routing(cls, name: bytes) -> Self:
        """Read what `routing` wrote.

        Raises:
            ValueError: `name` is not three dotted numbers.
        """
        cohort, slot, incarnation = (int(part) for part in name.split(b"."))
        return cls(cohort, slot, incarnation)

    def __str__(self) -> str:
        return f"slot {self.slot} (incarnation {self.incarnation}, cohort {self.cohort})"
