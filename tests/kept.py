"""Keeps what an access log would be told."""

from changeover.workers.http.making import Making
from changeover.workers.serving.access import Access


class Kept(list[Access]):
    """All of it, in order."""

    def put(self, access: Access) -> None:
        self.append(access)

    @property
    def making(self) -> Making:
        """What makes exchanges that tell it, on slot 3."""
        return Making(None, self, worker=3)
