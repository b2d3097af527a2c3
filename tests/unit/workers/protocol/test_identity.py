"""A worker's name on the wire."""

import pytest

from changeover.workers.link import endpoints
from changeover.workers.protocol.identity import WorkerId


def test_a_name_on_the_wire_reads_back() -> None:
    worker = WorkerId(cohort=3, slot=0, incarnation=2_000_001)
    assert WorkerId.from_routing(worker.routing()) == worker
    assert endpoints.worker_of(endpoints.own_topic(worker)) == worker


@pytest.mark.parametrize("name", [b"", b"1.2", b"1.2.3.4", b"a.b.c"])
def test_anything_else_is_nobody(name: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        WorkerId.from_routing(name)
    assert endpoints.worker_of(b"@" + name + b";") is None
