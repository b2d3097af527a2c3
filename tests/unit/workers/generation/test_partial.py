"""Resources that change alone are taken by a copy of what serves, over the same modules."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator

import pytest

from changeover.workers.generation.solo import Stored
from changeover.workers.generation.switch import Generation, Switch
from changeover.workers.plugins.lifecycle import State
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.serving import attribution
from tests.bench import LOG, Bench, lease, loaded, unit_set
from tests.waits import until

MANIFEST = """plugin = "pricing:Own"
state = ">=1"
services = { quote = { mount = "/q" } }
handlers = { mark = "inbound" }
resources = { rules = { path = "rules/*.txt" }, names = { path = "names.txt" } }
"""
CODE = """
LOG.append("the module runs")
class Own(Plugin[None]):
    def on_load(self, ctx):
        LOG.append("on_load")
        self.rules, self.names = ctx.resource("rules").path.read_text(), ctx.resource("names").text()
        self.hits = []
    def on_resources(self, changed):
        LOG.append(f"on_resources {sorted(changed)}")
        self.rules = changed["rules"].text()
        if self.rules == "wrong": raise ValueError("wrong")
    def on_activate(self):
        LOG.append(f"on_activate {self.rules}")
        self.task = asyncio.get_running_loop().create_task(asyncio.sleep(60))
    def on_deactivate(self): LOG.append(f"on_deactivate {self.rules}")
    def on_unload(self): LOG.append(f"on_unload {self.rules}")
    @inbound
    def mark(self, request, call): ...
    @service
    async def quote(self, request, call): return Response.text(self.rules)
"""


def pricing(bench: Bench, rules: str, code: str = CODE, names: str = "n", manifest: str = MANIFEST) -> Stored:
    """A version of the plugin."""
    files = {"rules/a.txt": rules, "names.txt": names}
    return bench.plugin(code, manifest=manifest, files=files)


def rules(generation: Generation) -> object:
    """What a generation's plugin goes by."""
    return loaded(generation).instance.rules  # type: ignore[union-attr]


async def test_a_changed_resource_is_given_to_a_copy_and_no_code_runs_again(bench: Bench) -> None:
    first = await bench.serve(1, pricing(bench, "one"))
    held = lease(first, "pricing:quote")
    LOG.clear()
    second = await bench.built(2, pricing(bench, "two"))
    assert LOG == ["on_resources ['rules']"]
    assert (rules(first), rules(second)) == ("one", "two")
    old, new = loaded(first).instance, loaded(second).instance
    assert type(old) is type(new)
    assert old is not new
    await bench.activate(second)
    assert LOG[1:] == ["on_deactivate one", "on_activate two"]
    assert loaded(second).handlers["mark"].call.__self__ is new  # type: ignore[attr-defined]
    assert unit_set(first, "pricing:quote") is not unit_set(second, "pricing:quote")
    assert rules(first) == "one"
    held.release()
    await bench.retire()
    assert "on_unload one" not in LOG


async def test_what_copies_share_ends_with_the_last_of_them(bench: Bench) -> None:
    for epoch, word in enumerate(("one", "two", "three"), 1):
        await bench.serve(epoch, pricing(bench, word))
    await bench.retire()
    assert LOG.count("the module runs") == 1
    assert not [line for line in LOG if line.startswith("on_unload")]
    await bench.serve(4)
    await bench.retire()
    assert [line for line in LOG if line.startswith("on_unload")] == ["on_unload three"]
    assert bench.workshop.leaks() == []


@pytest.fixture
async def attributed() -> AsyncIterator[None]:
    """Tasks and threads are known to belong to the unit whose hook starts them."""
    attribution.install(asyncio.get_running_loop())
    yield
    attribution.uninstall()


@pytest.mark.usefixtures("attributed")
async def test_what_an_instance_started_ends_with_it_and_not_with_the_last_copy(bench: Bench) -> None:
    first = await bench.serve(1, pricing(bench, "one"))
    task: asyncio.Task[None] = loaded(first).instance.task  # type: ignore[union-attr]
    second = await bench.serve(2, pricing(bench, "two"))
    other: asyncio.Task[None] = loaded(second).instance.task  # type: ignore[union-attr]
    await bench.retire()
    assert (task.cancelled(), other.done()) == (True, False)


CONNECTED = CODE.replace("    def on_load", "    async def on_load").replace(
    "    def on_resources", "    async def on_resources"
)
CONNECTED = CONNECTED.replace("self.hits = []", "self.link = asyncio.create_task(asyncio.sleep(60))")
CONNECTED = CONNECTED.replace(
    'self.rules = changed["', 'self.begun = asyncio.create_task(asyncio.sleep(60)); self.rules = changed["'
)


@pytest.mark.usefixtures("attributed")
async def test_a_task_under_a_connection_that_copies_share_ends_with_the_last_of_them(bench: Bench) -> None:
    first = await bench.serve(1, pricing(bench, "one", CONNECTED))
    link: asyncio.Task[None] = loaded(first).instance.link  # type: ignore[union-attr]
    del first
    for epoch, word in enumerate(("two", "three"), 2):
        await bench.serve(epoch, pricing(bench, word, CONNECTED))
        await bench.retire()
    assert not link.done()
    await bench.serve(4)
    assert not link.done()
    await bench.retire()
    assert link.cancelled()
    assert bench.workshop.leaks() == []


@pytest.mark.usefixtures("attributed")
async def test_what_a_copy_began_that_never_served_ends_with_it(bench: Bench) -> None:
    first = await bench.serve(1, pricing(bench, "one", CONNECTED))
    candidate = await bench.built(2, pricing(bench, "two", CONNECTED))
    begun: asyncio.Task[None] = loaded(candidate).instance.begun  # type: ignore[union-attr]
    await bench.workshop.discard(candidate)
    link: asyncio.Task[None] = loaded(first).instance.link  # type: ignore[union-attr]
    assert (begun.cancelled(), link.done()) == (True, False)


@pytest.mark.usefixtures("attributed")
async def test_a_thread_that_copies_use_is_held_against_the_last_of_them(bench: Bench) -> None:
    begun = "self.gate = threading.Event(); threading.Thread(target=self.gate.wait, name='feed', daemon=True).start()"
    code = CODE.replace("self.hits = []", f"self.hits = []; {begun}")
    first = loaded(await bench.serve(1, pricing(bench, "one", code)))
    second = loaded(await bench.serve(2, pricing(bench, "two", code)))
    gate: threading.Event = second.instance.gate  # type: ignore[union-attr]
    await bench.retire()
    await bench.serve(3)
    await bench.retire()
    gate.set()
    assert (first.left.alive(), second.left.alive()) == ([], ["thread feed"])


async def test_what_the_code_of_copies_registered_ends_with_the_last_of_them(bench: Bench) -> None:
    code = "import atexit\natexit.register(LOG.append, 'exit')\n" + CODE
    code = code.replace("self.rules = changed", "atexit.register(LOG.append, 'exit of copy'); self.rules = changed")
    await bench.serve(1, pricing(bench, "one", code))
    await bench.serve(2, pricing(bench, "two", code))
    await bench.retire()
    assert not [line for line in LOG if line.startswith("exit")]
    await bench.serve(3)
    await bench.retire()
    assert LOG[-2:] == ["exit of copy", "exit"]


async def test_what_was_there_before_comes_back_as_a_copy_too(bench: Bench) -> None:
    first = await bench.serve(1, pricing(bench, "one"))
    await bench.serve(2, pricing(bench, "two"))
    third = await bench.serve(3, pricing(bench, "one"))
    assert (rules(third), LOG.count("on_load")) == ("one", 1)
    assert first.snapshot.units[0].key.digest == third.snapshot.units[0].key.digest


async def test_a_copy_that_is_refused_leaves_what_serves_as_it_is(bench: Bench) -> None:
    first = await bench.serve(1, pricing(bench, "one"))
    refusal = await bench.refused(2, pricing(bench, "wrong"))
    assert (refusal.stage, refusal.fault, refusal.hook) == (Stage.INITIALISE, Fault.CRASH, "on_resources")
    assert (refusal.unit, refusal.summary) == ("plugin pricing", "ValueError: wrong")
    assert refusal.where.startswith("pricing.py:")
    assert rules(first) == "one"
    third = await bench.serve(3, pricing(bench, "three"))
    assert rules(third) == "three"
    assert LOG.count("the module runs") == 1
    assert not [line for line in LOG if line.startswith("on_unload")]


async def test_a_copy_that_is_discarded_takes_nothing_along(bench: Bench) -> None:
    first = await bench.serve(1, pricing(bench, "one"))
    candidate = await bench.built(2, pricing(bench, "two"))
    await bench.workshop.discard(candidate)
    assert loaded(candidate).lifecycle.state is State.REMOVED
    assert not [line for line in LOG if line.startswith("on_unload")]
    assert loaded(first).instance is not None


STATE = """
    def export_state(self): return repr((self.hits, self.number)).encode()
    def import_state(self, old, state): self.hits, self.number = eval(state)
    def merge_state(self, old, imported, latest):
        before, now = eval(imported), eval(latest)
        self.hits = self.hits + now[0][len(before[0]):]
        self.number += now[1] - before[1]
"""
COUNTING = CODE.replace("self.hits = []", "self.hits, self.number = [], 0") + STATE


def count(generation: Generation, name: str) -> None:
    """A request is counted: in a list, which copies share, and by a number, which they do not."""
    instance = loaded(generation).instance
    instance.hits.append(name)  # type: ignore[union-attr]
    instance.number += 1  # type: ignore[union-attr]


def total(generation: Generation) -> tuple[list[str], int]:
    instance = loaded(generation).instance
    return sorted(instance.hits), instance.number  # type: ignore[union-attr]


async def test_what_is_written_to_a_copy_s_original_after_both_were_replaced_goes_to_what_serves(bench: Bench) -> None:
    first = await bench.serve(1, pricing(bench, "one", COUNTING))
    count(first, "a")
    held = lease(first, "pricing:quote")
    second = await bench.serve(2, pricing(bench, "two", COUNTING))
    count(second, "b")
    third = await bench.built(3, pricing(bench, "two", COUNTING + "# more"))
    loaded(first).instance.hits.append("c")  # type: ignore[union-attr]
    count(second, "d")
    await bench.activate(third)
    await until(lambda: len(bench.drained) == 1, "the copy to be drained")
    await bench.workshop.release(bench.drained[-1])
    assert loaded(second).instance is None
    count(first, "e")
    count(third, "f")
    held.release()
    await bench.retire()
    assert total(third) == (["a", "b", "c", "d", "e", "f"], 5)


ORDINARY = {
    "code": {"code": CODE + "# more"},
    "a hook less": {"code": CODE.replace("on_resources(", "other(")},
    "the manifest": {"manifest": MANIFEST + 'summary = "more"\n'},
    "a resource that is code": {
        "manifest": MANIFEST.replace("names.txt", "pricing.py"),
        "code": CODE.replace('ctx.resource("names")', 'ctx.resource("rules")'),
    },
}


@pytest.mark.parametrize("change", ORDINARY.values(), ids=ORDINARY)
async def test_whatever_else_changes_is_a_content_like_any_other(bench: Bench, change: dict[str, str]) -> None:
    both = "manifest" in change and "code" in change
    first = await bench.serve(1, pricing(bench, "one", **(change if both else {})))
    if both:
        change = change | {"code": change["code"] + "# more"}
    second = await bench.serve(2, pricing(bench, "two", **change))
    assert LOG.count("the module runs") == 2
    assert type(loaded(first).instance) is not type(loaded(second).instance)
    assert rules(second) == "two"
    await bench.retire()
    assert "on_unload one" in LOG


ASGI = """
class App:
    open = False
    async def __call__(self, scope, receive, send):
        for event in ("startup", "shutdown"):
            await receive()
            App.open = event == "startup"
            await send({"type": f"lifespan.{event}.complete"})
app = App()
"""


async def test_an_application_has_one_lifespan_so_a_plugin_with_one_is_not_copied(bench: Bench) -> None:
    code = (
        CODE.replace("    @service\n", "    quote = asgi('pricing:app')\n    @service\n").replace(
            "def quote", "def other"
        )
        + ASGI
    )
    first = await bench.serve(1, pricing(bench, "one", code))
    second = await bench.serve(2, pricing(bench, "two", code))
    await bench.retire()
    assert not loaded(second).is_copy
    assert sys.modules[type(loaded(second).instance).__module__].App.open
    assert loaded(first).instance is None


async def test_without_the_hook_a_changed_resource_is_a_content_like_any_other(bench: Bench) -> None:
    code = CODE.replace("on_resources(", "other(")
    await bench.serve(1, pricing(bench, "one", code))
    second = await bench.serve(2, pricing(bench, "two", code))
    assert (rules(second), LOG.count("on_load")) == ("two", 2)


async def test_another_configuration_or_another_version_of_what_it_requires_is_no_copy(bench: Bench) -> None:
    manifest = MANIFEST + 'requires = { base = ">=1" }\n'
    base = "class Own(Plugin[None]): ..."
    await bench.serve(1, bench.plugin(base, id="base"), pricing(bench, "one", manifest=manifest))
    other = bench.plugin(base + "# more", id="base")
    await bench.serve(2, other, pricing(bench, "two", manifest=manifest))
    assert LOG.count("on_load") == 2
    await bench.serve(3, other, pricing(bench, "three", manifest=manifest))
    assert LOG.count("on_load") == 2


async def test_a_worker_that_joins_later_loads_what_is_there_and_can_copy_from_then_on(bench: Bench) -> None:
    one, two, three = (pricing(bench, word) for word in ("one", "two", "three"))
    await bench.serve(1, one)
    second = bench.snapshot(2, two)
    await bench.workshop.close()
    bench.workshop, bench.switch = bench.make(5.0), Switch(bench.cell, bench.switch._on_activated)
    joined = await bench.workshop.build(second)
    assert isinstance(joined, Generation)
    await bench.activate(joined)
    third = await bench.serve(3, three)
    assert [rules(joined), rules(third)] == ["two", "three"]
    assert LOG.count("on_load") == 2


async def test_state_that_a_copy_did_not_import_itself_is_still_merged_into_it(bench: Bench) -> None:
    stateful = (
        CODE
        + """
    def export_state(self): return ",".join(self.hits).encode()
    def import_state(self, old, state): self.hits = state.decode().split(",")
    def merge_state(self, old, imported, latest):
        self.hits = [*self.hits, *latest.decode().split(",")[len(imported.decode().split(",")):]]
"""
    )
    first = await bench.serve(1, pricing(bench, "one", stateful))
    loaded(first).instance.hits.append("a")  # type: ignore[union-attr]
    held = lease(first, "pricing:quote")
    await bench.serve(2, pricing(bench, "two", stateful + "# more"))
    third = await bench.serve(3, pricing(bench, "three", stateful + "# more"))
    loaded(first).instance.hits.append("b")  # type: ignore[union-attr]
    held.release()
    await until(lambda: len(bench.drained) == 2, "the first to drain")
    await bench.retire()
    assert loaded(third).instance.hits == ["a", "b"]  # type: ignore[union-attr]
    assert loaded(third).is_copy
