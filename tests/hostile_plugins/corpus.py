"""The hostile plugins, always the same ones for a seed."""

import itertools

from tests.hostile_plugins.manifests import manifests
from tests.hostile_plugins.misdeeds import misdeeds
from tests.hostile_plugins.offer import Offer

COUNT = 200
SEED = 5


def corpus(count: int = COUNT, seed: int = SEED) -> tuple[Offer, ...]:
    """What a server is to refuse: everything that code does, filled up with manifests.

    Args:
        count: How many there are to be.
        seed: Of the manifests.
    """
    code = list(misdeeds())
    assert len(code) <= count, f"{len(code)} misdeeds do not fit into {count}"
    return (*code, *itertools.islice(manifests(seed), count - len(code)))
