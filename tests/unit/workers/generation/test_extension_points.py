"""What code asks for at an extension point is that of the generation it works under, however late it asks."""

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from importlib import import_module
from pathlib import Path
from typing import Protocol

import pytest

from changeover.plugin import ExtensionPointEarly, ExtensionPointLate, extension_point
from changeover.workers.generation.solo import Application, Stored
from changeover.workers.generation.switch import Switch
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.serving import attribution
from changeover.workers.serving.dispatch import LiveDispatcher
from changeover.workers.serving.lease import LeaseKind, UnitSet, current_lease
from changeover.workers.serving.offering import here
from tests.bench import LOG, Bench, Cell, lease, loaded, unit_set
from tests.exchange import MemoryExchange
from tests.waits import until

SHOP = """
import asyncio, contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fastapi import FastAPI
from changeover.plugin import extension_point
from tests.bench import LOG

pricers = extension_point("shop.pricing", Callable[[], str])
pool = ThreadPoolExecutor(1)
pool.submit(int).result()

def prices():
    return [price() for price in pricers()]

@contextlib.asynccontextmanager
async def lifespan(app):
    LOG.append(f"startup sees {prices()}")
    yield

app = FastAPI(lifespan=lifespan)

@app.get("/now")
async def now():
    return prices()

@app.get("/thread")
def thread():
    return prices()

@app.get("/late")
async def late():
    seen = [prices()]
    LOG.append("asked once")
    while "go" not in LOG:
        await asyncio.sleep(0.001)
    loop = asyncio.get_running_loop()
    seen.append(prices())
    seen.append(await asyncio.to_thread(prices))
    seen.append(await loop.run_in_executor(pool, prices))
    seen.append(await asyncio.create_task(asked()))
    return seen

async def asked():
    return prices()
"""


class Price(Protocol):
    """What is offered."""

    def __call__(self) -> str: ...


FRONT = "handlers = {}\n"
PRICING = """
class Own(Plugin[None]):
    def pricing(self): return "{0}"
    def on_unload(self): LOG.append("unload {0}")
"""
PRICED = 'plugin = "pricing:Own"\nextensions = ["shop.pricing"]\n'


@pytest.fixture(autouse=True)
async def worker() -> AsyncIterator[None]:
    """As in a worker: what is started under a request belongs to it."""
    attribution.install(asyncio.get_running_loop())
    yield
    attribution.uninstall()
    here.leave()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Application]:
    (tmp_path / "asking_shop.py").write_text(SHOP)
    yield Application("asking_shop:app", str(tmp_path))
    sys.modules.pop("asking_shop").pool.shutdown()
    with contextlib.suppress(ValueError):
        sys.path.remove(str(tmp_path))


def front(bench: Bench) -> Stored:
    return bench.plugin("", id="front", manifest=FRONT)


def pricing(bench: Bench, name: str) -> Stored:
    return bench.plugin(PRICING.format(name), manifest=PRICED)


async def ask(bench: Bench, path: str) -> str:
    exchange = MemoryExchange("GET", path)
    assert LiveDispatcher(bench.switch, worker=0).dispatch(exchange)
    await until(lambda: exchange.ended, f"an answer from {path}")
    return b"".join(exchange.pieces).decode()


async def test_an_application_gets_what_the_serving_plugins_offer(bench: Bench, shop: Application) -> None:
    first = front(bench)
    await bench.serve(1, first, pricing(bench, "one"), app=shop)
    assert LOG == ["startup sees ['one']"]
    assert await ask(bench, "/now") == '["one"]'
    assert await ask(bench, "/thread") == '["one"]'
    await bench.serve(2, first, pricing(bench, "two"), app=shop)
    assert LOG == ["startup sees ['one']"], "the application was built anew"
    assert await ask(bench, "/now") == '["two"]'
    assert await ask(bench, "/thread") == '["two"]'


async def test_a_request_that_asks_late_still_finds_its_own_generation(bench: Bench, shop: Application) -> None:
    first = front(bench)
    await bench.serve(1, first, pricing(bench, "one"), app=shop)
    answer = asyncio.create_task(ask(bench, "/late"))
    await until(lambda: "asked once" in LOG, "the request asked")
    await bench.serve(2, first, pricing(bench, "two"), app=shop)
    assert await ask(bench, "/now") == '["two"]'
    assert [str(key.ref) for key in bench.workshop.draining()] == ["plugin pricing"]
    assert not bench.drained
    LOG.append("go")
    assert await answer == str([["one"]] * 5).replace("'", '"').replace(" ", "")
    await bench.retire()
    assert LOG[-1] == "unload one"
    assert bench.workshop.leaks() == []


async def test_a_request_that_may_ask_holds_what_the_offering_plugins_require_too(
    bench: Bench, shop: Application
) -> None:
    def priced(name: str) -> tuple[Stored, ...]:
        base = bench.plugin(PRICING.format(f"base {name}"), id="zero", manifest='plugin = "zero:Own"\n')
        return first, bench.plugin(PRICING.format(name), manifest=f'{PRICED}requires = {{ zero = "" }}\n'), base

    first = front(bench)
    held = lease(await bench.serve(1, *priced("one"), app=shop), "app")
    await bench.serve(2, *priced("two"), app=shop)
    assert {str(key.ref) for key in held.units.keys} >= {"plugin pricing", "plugin zero"}
    assert bench.drained == []
    held.release()
    await bench.retire()
    assert LOG[-2:] == ["unload one", "unload base one"]


async def test_what_is_offered_comes_after_what_it_requires(bench: Bench) -> None:
    asking = bench.plugin(
        ASKING,
        id="asking",
        manifest='plugin = "asking:Own"\nservices = { prices = "/asking" }\nrequires = { pricing = "" }\n',
    )
    base = bench.plugin("def rate(): return 'base'\n", id="zero", manifest='extensions = { "a.b" = "zero:rate" }\n')
    more = 'plugin = "pricing:Own"\nextensions = { "a.b" = "" }\nrequires = { zero = "" }\n'
    above = bench.plugin("class Own(Plugin[None]):\n    def b(self): return 'above'\n", manifest=more)
    generation = await bench.serve(1, above, base, asking)
    assert [offer() for offer in generation.extensions["a.b"]] == ["base", "above"]  # type: ignore[operator]
    held = {str(key.ref) for key in unit_set(generation, "asking:prices").keys}
    assert held >= {"plugin asking", "plugin zero", "plugin pricing"}


ASKING = """
offers = extension_point("a.b", type(len))
class Own(Plugin[None]):
    def on_load(self, ctx): LOG.append(f"load sees {[offer() for offer in offers()]}")
    def on_activate(self): LOG.append(f"activate sees {[offer() for offer in offers()]}")
    async def on_deactivate(self): LOG.append(f"deactivate sees {[offer() for offer in offers()]}")
    @service
    async def prices(self, request, call):
        return Response.text(str([offer() for offer in offers()]))
"""
ASKED = 'plugin = "asking:Own"\nservices = { prices = { mount = "/asking" } }\n'
OFFER = "def b(): return '{0}'\n"


def offering(bench: Bench, name: str) -> Stored:
    return bench.plugin(OFFER.format(name), id="able", manifest='extensions = { "a.b" = "able:b" }\n')


async def test_a_plugin_that_asks_is_served_like_an_application(bench: Bench) -> None:
    asking = bench.plugin(ASKING, id="asking", manifest=ASKED)
    first = await bench.serve(1, offering(bench, "one"), asking)
    assert LOG == ["load sees ['one']", "activate sees ['one']"]
    assert await ask(bench, "/asking") == "['one']"
    second = await bench.serve(2, offering(bench, "two"), asking)
    assert await ask(bench, "/asking") == "['two']"
    assert loaded(first, "asking") is loaded(second, "asking")
    assert unit_set(first, "asking:prices") is not unit_set(second, "asking:prices")


async def test_hooks_see_the_candidate_before_the_commit_and_what_serves_after_it(bench: Bench) -> None:
    await bench.serve(1, offering(bench, "one"), bench.plugin(ASKING, id="asking", manifest=ASKED))
    LOG.clear()
    await bench.serve(2, offering(bench, "two"), bench.plugin(ASKING + "# 2\n", id="asking", manifest=ASKED))
    assert LOG == ["load sees ['two']", "deactivate sees ['two']", "activate sees ['two']"]


async def test_a_task_of_a_hook_sees_what_serves_once_the_candidate_is_built(bench: Bench) -> None:
    code = """
offers = extension_point("a.b", type(len))
class Own(Plugin[None]):
    async def on_load(self, ctx): asyncio.create_task(self.look())
    async def look(self):
        while "stop" not in LOG:
            seen = "looked " + str([offer() for offer in offers()])
            if seen not in LOG: LOG.append(seen)
            await asyncio.sleep(0.001)
"""
    looking = bench.plugin(code, id="looking", manifest='plugin = "looking:Own"\n')
    await bench.serve(1, offering(bench, "one"), looking)
    await until(lambda: "looked ['one']" in LOG, "the first was seen")
    refused = bench.plugin("raise OSError('no')\n", manifest='extensions = { "a.b" = "pricing:b" }\n')
    assert (await bench.refused(2, offering(bench, "two"), looking, refused)).stage is Stage.LOAD
    await bench.serve(3, offering(bench, "three"), looking)
    await until(lambda: "looked ['three']" in LOG, "the next was seen")
    assert "looked ['two']" not in LOG
    LOG.append("stop")


async def test_a_unit_set_that_asks_nothing_holds_nobody_else(bench: Bench) -> None:
    code = "@service\nasync def plain(request, call): return Response.text('')\n"
    plain = bench.plugin(code, id="plain", manifest="services = { plain = {} }\n")
    first = await bench.serve(1, offering(bench, "one"), plain)
    second = await bench.serve(2, offering(bench, "two"), plain)
    assert unit_set(first, "plain:plain") is unit_set(second, "plain:plain")
    assert unit_set(first, "plain:plain").extensions is None


async def test_a_point_that_is_made_in_a_request_says_where_it_belongs(bench: Bench) -> None:
    code = """
@service
async def late(request, call):
    try:
        extension_point("a.b", type(len))()
    except ExtensionPointLate as error:
        return Response.text(str(error))
"""
    late = bench.plugin(code, id="late", manifest='services = { late = "/late" }\n')
    await bench.serve(1, offering(bench, "one"), late)
    said = await ask(bench, "/late")
    assert said.startswith("/late does not hold the plugins behind 'a.b'")
    assert "make yours at the top of a module" in said


SHARED = """
from changeover.plugin import extension_point
offers = extension_point("a.b", type(len))
def offered(): return str([offer() for offer in offers()])
"""
THROUGH = """
@service
async def asked(request, call): return Response.text(told() + " {0}")
"""


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed module that makes a point, and another that uses it."""
    (tmp_path / "shared_till.py").write_text(SHARED)
    (tmp_path / "shared_counter.py").write_text("from shared_till import offered\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("shared_till", "shared_counter"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "head",
    [
        "from shared_till import offered as told\n",
        "import shared_counter\ndef told(): return shared_counter.offered()\n",
        "import importlib\ntold = importlib.import_module('shared_counter').offered\n",
    ],
)
async def test_a_point_that_an_installed_module_made_is_asked_by_every_version(
    bench: Bench, shared: None, head: str
) -> None:
    """The module is run once, by the first version that imports it."""
    manifest = 'services = { asked = "/asked" }\n'
    for epoch, name in enumerate(("one", "two", "three"), start=1):
        asking = bench.plugin(head + THROUGH.format(name), id="asking", manifest=manifest)
        await bench.serve(epoch, offering(bench, name), asking)
        assert await ask(bench, "/asked") == f"['{name}'] {name}"


async def test_a_point_that_the_application_made_is_asked_by_a_plugin_that_imports_it_in_a_hook(
    bench: Bench, shared: None
) -> None:
    import_module("shared_till")
    code = """
class Own(Plugin[None]):
    def on_load(self, ctx):
        from shared_till import offered
        self.told = offered
    @service
    async def asked(self, request, call): return Response.text(self.told())
"""
    asking = bench.plugin(code, id="asking", manifest='plugin = "asking:Own"\nservices = { asked = "/asked" }\n')
    await bench.serve(1, offering(bench, "one"), asking)
    assert await ask(bench, "/asked") == "['one']"


async def test_a_plugin_that_does_not_lead_to_a_point_of_others_holds_nobody_else(bench: Bench, shared: None) -> None:
    import_module("shared_till")
    code = "import json, sys, msgspec\n@service\nasync def plain(request, call): return Response.text('')\n"
    plain = bench.plugin(code, id="plain", manifest="services = { plain = {} }\n")
    generation = await bench.serve(1, offering(bench, "one"), plain)
    assert unit_set(generation, "plain:plain").extensions is None


async def test_before_anything_serves_a_worker_is_told_that_it_asks_too_early() -> None:
    Switch(Cell(), lambda old, new: None)
    with pytest.raises(ExtensionPointEarly, match=r"'a\.b' was asked while nothing serves here"):
        extension_point("a.b", type(len))()


async def test_where_nobody_offers_there_is_nothing(bench: Bench, shop: Application) -> None:
    await bench.serve(1, front(bench), app=shop)
    assert await ask(bench, "/now") == "[]"


async def test_what_is_named_and_not_there_refuses_the_candidate(bench: Bench) -> None:
    refusal = await bench.refused(1, bench.plugin("", manifest='extensions = { "a.b" = "pricing:gone" }\n'))
    assert (refusal.stage, refusal.fault) == (Stage.LINK, Fault.CONTRACT)
    assert refusal.summary.endswith("extension 'a.b': pricing has no 'gone'; name it with `entry`, like "
                                    '`entry = "pricing:Name"`, or rename one of them')  # fmt: skip


async def test_a_context_that_somebody_kept_keeps_no_plugin(bench: Bench, shop: Application) -> None:
    first = front(bench)
    one = await bench.serve(1, first, pricing(bench, "one"), app=shop)
    held, kept = lease(one, "app"), copy_context()
    kept.run(current_lease.set, held)
    await bench.serve(2, first, pricing(bench, "two"), app=shop)
    del one
    held.release()
    await bench.retire()
    assert bench.workshop.leaks() == []
    prices = extension_point("shop.pricing", Price)
    assert [price() for price in kept.run(prices)] == ["two"]


async def test_a_thread_without_a_request_gets_what_serves(bench: Bench) -> None:
    await bench.serve(1, offering(bench, "one"))
    seen: list[str] = []
    point = extension_point("a.b", Price)
    thread = threading.Thread(target=lambda: seen.extend(offer() for offer in point()))
    thread.start()
    thread.join(5)
    assert seen == ["one"]


def test_a_unit_set_without_units_that_offer_says_late_and_not_nothing() -> None:
    point = extension_point("a.b", type(len))
    context = copy_context()
    context.run(current_lease.set, UnitSet(()).lease(LeaseKind.HTTP, 1, "/here", 0))
    with pytest.raises(ExtensionPointLate, match=r"^/here "):
        context.run(point)
    assert repr(point) == "<ExtensionPoint a.b>"


async def test_a_copy_that_took_a_resource_asks_and_offers_like_the_instance_before(bench: Bench) -> None:
    code = """
offers = extension_point("a.b", type(len))
class Own(Plugin[None]):
    def on_load(self, ctx): self.rate = ctx.resource("rate").text()
    def on_resources(self, changed): self.rate = changed["rate"].text()
    def b(self): return self.rate
    @service
    async def prices(self, request, call):
        return Response.text(str([offer() for offer in offers()]))
"""
    manifest = (
        'plugin = "asking:Own"\nextensions = ["a.b"]\nservices = { prices = "/asking" }\nresources = '
        '{ rate = { path = "rate.txt" } }\n'
    )

    def asking(rate: str) -> Stored:
        return bench.plugin(code, id="asking", manifest=manifest, files={"rate.txt": rate})

    first = await bench.serve(1, asking("1"))
    assert await ask(bench, "/asking") == "['1']"
    second = await bench.serve(2, asking("2"))
    assert loaded(second, "asking").is_copy, "the whole plugin was loaded anew"
    assert await ask(bench, "/asking") == "['2']"
    assert [offer() for offer in first.extensions["a.b"]] == ["1"]  # type: ignore[operator]


async def test_requests_that_hold_old_plugins_behind_a_point_count_against_the_bound(
    bench: Bench, shop: Application
) -> None:
    first, held = front(bench), []
    for epoch, name in enumerate(("one", "two", "three", "four"), start=1):
        generation = await bench.serve(epoch, first, pricing(bench, name), app=shop)
        held.append(lease(generation, "app"))
    assert bench.workshop.leases_over(4) == []
    assert bench.workshop.leases_over(2) == held[:2]
    for each in held:
        each.release()
