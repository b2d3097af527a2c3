"""`rate-limit`: buckets that fill with time, of bounded number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.workers.handlers.rate_limit import Buckets
from tests.exchange import MemoryExchange, Served
from tests.ready_made import KINDS, answering, serve


async def statuses(served: Served, count: int, **fields: str) -> list[int]:
    return [(await served.get(**fields)).status for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
async def test_who_asks_too_often_is_told_when_to_come_again(kind: str) -> None:
    served = serve(answering(kind), {"use": "rate-limit", "limit": 2, "per": "1h"})
    assert await statuses(served, 2) == [200, 200]
    refused = await served.get()
    assert (refused.status, refused.headers["retry-after"]) == (429, "1800")
    assert refused.headers["content-type"] == "application/problem+json"


async def test_clients_are_told_apart_by_a_field_or_their_address() -> None:
    served = serve(answering("native"), {"use": "rate-limit", "limit": 1, "per": "1h", "key": "header:x-api-key"})
    assert await statuses(served, 2, x_api_key="a") == [200, 429]
    assert await statuses(served, 2, x_api_key="b" * 5000) == [200, 429]
    assert await statuses(served, 2) == [200, 429]
    other = MemoryExchange()
    other.request.client = ("192.0.2.2", 1)
    assert (await served.ask(other)).status == 200
    assert await statuses(served, 1, x_api_key="192.0.2.1") == [200]


def test_tokens_come_back_with_time_and_never_beyond_the_burst() -> None:
    buckets = Buckets(2, rate=0.5, most=10)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [0, 0, 2.0]
    assert buckets.take("a", 1.0) == 1.0
    assert buckets.take("a", 2.0) == 0
    assert [buckets.take("a", 1000.0) for _ in range(3)] == [0, 0, 2.0]


def test_the_quietest_client_is_forgotten_first() -> None:
    buckets = Buckets(1, rate=0.001, most=2)
    assert [buckets.take(key, 0.0) for key in "abab"] == [0, 0, 1000.0, 1000.0]
    assert buckets.take("c", 1.0) == 0
    assert len(buckets) == 2
    assert buckets.take("b", 1.0) > 0
    assert buckets.take("a", 1.0) == 0


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 3)), max_size=60))
def test_nobody_gets_more_than_the_burst_and_what_came_back(asked: list[tuple[str, float]]) -> None:
    buckets = Buckets(3, rate=2.0, most=5)
    now, taken = 0.0, dict.fromkeys("abcde", 0)
    for key, pause in asked:
        now += pause
        taken[key] += buckets.take(key, now) == 0
    assert all(count <= 3 + 2 * now + 1e-6 for count in taken.values())
