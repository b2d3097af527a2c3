"""Whoever unpickles gets the classes of the generation that it belongs to."""

import pickle
from typing import Any

import pytest

from changeover.workers.generation.switch import Generation
from changeover.workers.serving.lease import current_lease
from tests.bench import Bench, lease, loaded

SHOP = """
import pickle
class Cart: pass
class Own(Plugin[None]):
    def __init__(self, config):
        super().__init__(config)
        self.cart = Cart
        self.data = pickle.dumps(Cart())
    @service
    async def shop(self, request, call): return Response.text("")
"""
READER = """
import pickle
class Own(Plugin[None]):
    def on_load(self, ctx): READ.append(pickle.loads(READ[0]))
    def on_reload(self, ctx, old): READ.append(pickle.loads(READ[0]))
    def on_activate(self): READ.append(pickle.loads(READ[0]))
"""
READ: list[Any] = []
"""What is pickled, and then what a plugin read."""
MANIFEST = 'plugin = "shop:Own"\nservices = {{ shop = {{ mount = "/{0}" }} }}\n'


@pytest.fixture(autouse=True)
def _forget() -> None:
    READ.clear()


async def shop(bench: Bench, epoch: int) -> Generation:
    code = SHOP + f"# {epoch}"
    return await bench.serve(epoch, bench.plugin(code, id="shop", manifest=MANIFEST.format("shop")))


def cart(generation: Generation) -> type:
    instance: Any = loaded(generation, "shop").instance
    kind: type = instance.cart
    return kind


def data(generation: Generation) -> bytes:
    instance: Any = loaded(generation, "shop").instance
    written: bytes = instance.data
    return written


async def test_under_a_request_it_is_the_generation_of_the_request(bench: Bench) -> None:
    first = await shop(bench, 1)
    held = lease(first, "shop:shop")
    second = await shop(bench, 2)
    token = current_lease.set(held)
    assert type(pickle.loads(data(second))) is cart(first)
    current_lease.reset(token)
    held.release()
    assert type(pickle.loads(data(first))) is cart(second)


async def test_elsewhere_it_is_what_serves_and_not_what_is_only_prepared(bench: Bench) -> None:
    first = await shop(bench, 1)
    plugin = bench.plugin(SHOP + "# 2", id="shop", manifest=MANIFEST.format("shop"))
    second = await bench.built(2, plugin)
    assert type(pickle.loads(data(second))) is cart(first)
    await bench.activate(second)
    assert type(pickle.loads(data(first))) is cart(second)


async def test_a_hook_gets_those_of_what_its_plugin_requires(bench: Bench) -> None:
    requires = 'plugin = "reads:Own"\nrequires = { shop = ">=1" }\n'
    served = await shop(bench, 1)
    READ.append(data(served))
    generations = []
    for epoch in (2, 3):
        code = "from tests.unit.workers.generation.test_pickles import READ\n" + READER
        plugin = bench.plugin(SHOP + f"# {epoch}", id="shop", manifest=MANIFEST.format("shop"))
        reads = bench.plugin(code + f"# {epoch}", id="reads", manifest=requires)
        generations.append(await bench.built(epoch, plugin, reads))
        assert type(READ[-1]) is cart(generations[-1])
        await bench.activate(generations[-1])
    assert [type(each) for each in READ[1:]] == [cart(each) for each in generations for _ in range(2)]
    READ.clear()
