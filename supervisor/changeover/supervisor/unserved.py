"""Which adopted sockets were bound for a candidate whose supervisor died before the commit. Pure.

The kernel lets clients in there, and none of those who serve has the socket, so nobody would accept them.
"""

from collections.abc import Collection, Mapping

from changeover.supervisor.core.entries import Recovered


def latest_committed(recovered: Recovered, stored: int) -> int:
    """The latest epoch that was committed; 0 for none.

    Args:
        recovered: What the journal says.
        stored: The latest that the commit cell knows: a journal that was put back may not know of it.
    """
    known = (each.epoch for each in (recovered.committed, recovered.parted) if each is not None)
    return max((stored, *known))


def unserved(holders: Mapping[int, Collection[int]], committed: int) -> frozenset[int]:
    """Sockets that only processes of a candidate hold; none where nobody else lives, as whoever is made then has all.

    Args:
        holders: Sockets, by number -> for which rolls those who hold them were made.
        committed: The latest epoch that was committed; who was made for a later one never served.
    """
    served = {sock for sock, rolls in holders.items() if min(rolls) <= committed}
    return frozenset(holders.keys() - served) if served else frozenset()
