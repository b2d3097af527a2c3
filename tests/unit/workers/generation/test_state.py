"""What a content of a plugin knows goes over to the next: before the commit, right after it, and when the last
request on the old one is over."""

import asyncio

import msgspec
import pytest

from changeover.workers.generation.switch import Generation
from changeover.workers.plugins import state
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.serving.lease import LeaseKind
from tests.bench import LOG, Bench, lease, loaded, unit_set
from tests.waits import until

GATE: list[asyncio.Event] = []
"""What an export waits for, while there is anything in it."""

MANIFEST = 'plugin = "pricing:Own"\nstate = ">=1"\nservices = { quote = { mount = "/q" } }\n'
SILENT = MANIFEST.replace('state = ">=1"\n', "")
COUNTING = """
class Own(Plugin[None]):
    def __init__(self, config):
        super().__init__(config)
        self.hits = {}
    def hit(self, who): self.hits[who] = self.hits.get(who, 0) + 1
    def on_reload(self, ctx, old): LOG.append("NAME on_reload")
    def on_activate(self): LOG.append("NAME on_activate")
    def on_deactivate(self): LOG.append("NAME on_deactivate")
    def on_unload(self): LOG.append("NAME on_unload")
    def export_state(self):
        LOG.append("NAME export_state")
        return repr(self.hits).encode()
    async def import_state(self, old, state):
        LOG.append(f"NAME import_state of {old.version}")
        self.hits = eval(state)
    def merge_state(self, old, imported, latest):
        LOG.append(f"NAME merge_state of {old.version}")
        before = eval(imported or b'{}')
        for who, hits in eval(latest).items():
            self.hits[who] = self.hits.get(who, 0) + hits - before.get(who, 0)
    @service
    async def quote(self, request, call): return Response.text("NAME")
"""
"""Counts, with every hook about it; `counting(name)`."""


def counting(name: str) -> str:
    """The code of one that writes down `name`."""
    return COUNTING.replace("NAME", name)


def hits(generation: Generation) -> dict[str, int]:
    """What a generation's plugin has counted."""
    counted = loaded(generation).instance.hits  # type: ignore[union-attr]
    assert isinstance(counted, dict)
    return counted


def hit(generation: Generation, who: str = "ann") -> None:
    """A request is counted."""
    loaded(generation).instance.hit(who)  # type: ignore[union-attr]


async def begun(bench: Bench) -> Generation:
    """A plugin serves that has counted a request."""
    first = await bench.serve(1, bench.plugin(counting("one"), manifest=MANIFEST))
    hit(first)
    LOG.clear()
    return first


async def test_state_goes_over_before_the_commit_right_after_it_and_at_the_end(bench: Bench) -> None:
    first = await begun(bench)
    second = await bench.built(2, bench.plugin(counting("two"), version="2.0.0", manifest=MANIFEST))
    assert LOG == ["two on_reload", "one export_state", "two import_state of 1.0.0"]
    assert hits(second) == {"ann": 1}
    hit(first)
    held = lease(first, "pricing:quote")
    LOG.clear()
    await bench.activate(second)
    assert LOG == ["one on_deactivate", "one export_state", "two merge_state of 1.0.0", "two on_activate"]
    assert hits(second) == {"ann": 2}
    hit(second)
    hit(first)
    hit(first, "bob")
    held.release()
    LOG.clear()
    await bench.retire()
    assert LOG == ["one export_state", "two merge_state of 1.0.0", "one on_unload"]
    assert hits(second) == {"ann": 4, "bob": 1}
    del first, held
    assert bench.workshop.leaks() == []


async def test_what_comes_last_goes_to_what_serves_then(bench: Bench) -> None:
    first = await begun(bench)
    held = lease(first, "pricing:quote")
    second = await bench.serve(2, bench.plugin(counting("two"), version="2.0.0", manifest=MANIFEST))
    hit(second, "bob")
    third = await bench.serve(3, bench.plugin(counting("three"), version="3.0.0", manifest=MANIFEST))
    hit(first)
    held.release()
    await bench.retire()
    assert hits(third) == {"ann": 2, "bob": 1}


async def test_a_commit_that_follows_at_once_loses_nothing(bench: Bench) -> None:
    first = await begun(bench)
    second = await bench.built(2, bench.plugin(counting("two"), version="2.0.0", manifest=MANIFEST))
    bench.switch.prepared, bench.cell.epoch = second, 2
    bench.switch.admit()
    hit(first)
    third = await bench.built(3, bench.plugin(counting("three"), version="3.0.0", manifest=MANIFEST))
    bench.switch.prepared, bench.cell.epoch = third, 3
    bench.switch.admit()
    hit(second)
    await bench.workshop.after_activation(first, second)
    await bench.workshop.after_activation(second, third)
    await bench.retire()
    assert hits(third) == {"ann": 3}


async def test_what_is_released_before_its_hooks_ran_is_merged_all_the_same(bench: Bench) -> None:
    first = await begun(bench)
    second = await bench.built(2, bench.plugin(counting("two"), manifest=MANIFEST))
    bench.switch.prepared, bench.cell.epoch = second, 2
    bench.switch.admit()
    hit(first)
    await bench.retire()
    await bench.workshop.after_activation(first, second)
    assert LOG[-2:] == ["one on_unload", "two on_activate"]
    assert hits(second) == {"ann": 2}


UNSAID = "its manifest does not say whose state it takes; write "
RANGES = {
    "a range above": (MANIFEST.replace(">=1", ">=1.3"), "2.0.0", "its manifest takes the state of >=1.3"),
    "none": (SILENT, "2.0.0", UNSAID + "`state = \">=1.0.0\"`"),
    "none on the way back": (SILENT, "0.9", UNSAID + "`state = \">=0.9\"`"),
    "a range on the way back": (MANIFEST.replace(">=1", "<1"), "0.9", "its manifest takes the state of <1"),
}  # fmt: skip


@pytest.mark.parametrize(("manifest", "version", "why"), RANGES.values(), ids=RANGES)
async def test_what_takes_no_state_of_the_old_version_begins_afresh(
    bench: Bench, manifest: str, version: str, why: str
) -> None:
    first = await begun(bench)
    second = await bench.serve(2, bench.plugin(counting("two"), version=version, manifest=manifest))
    hit(first)
    await bench.retire()
    assert hits(second) == {}
    assert bench.witness.fresh == [(version, "1.0.0", why)]
    assert not [line for line in LOG if "export" in line or "import" in line or "merge" in line]


async def test_what_has_no_import_begins_afresh(bench: Bench) -> None:
    await begun(bench)
    code = counting("two").replace("import_state(self", "other(self")
    await bench.serve(2, bench.plugin(code, manifest=MANIFEST))
    assert bench.witness.fresh == [("1.0.0", "1.0.0", "it has no import_state")]


async def test_without_a_merge_the_state_of_prepare_stays(bench: Bench) -> None:
    first = await begun(bench)
    code = counting("two").replace("merge_state(self", "other(self")
    second = await bench.built(2, bench.plugin(code, manifest=MANIFEST))
    hit(first)
    await bench.activate(second)
    await bench.retire()
    assert (hits(second), bench.witness.fresh) == ({"ann": 1}, [])


async def test_nothing_is_imported_where_nothing_was_exported(bench: Bench) -> None:
    code = counting("one").replace("return repr(self.hits).encode()", "return None")
    await bench.serve(1, bench.plugin(code, manifest=MANIFEST))
    await bench.serve(2, bench.plugin(counting("two"), manifest=MANIFEST))
    await bench.retire()
    assert not [line for line in LOG if "import" in line or "merge" in line]
    assert bench.witness.fresh == []


async def test_what_comes_where_nothing_was_exported_is_merged_with_nothing(bench: Bench) -> None:
    code = counting("one").replace("self.hits).encode()", "self.hits).encode() if self.hits else None")
    two = counting("two")
    first = await bench.serve(1, bench.plugin(code, manifest=MANIFEST))
    second = await bench.built(2, bench.plugin(two, manifest=MANIFEST))
    hit(first)
    await bench.activate(second)
    assert not [line for line in LOG if "import" in line]
    assert hits(second) == {"ann": 1}


async def test_a_request_that_comes_back_during_the_last_merge_is_waited_for_and_merged_too(bench: Bench) -> None:
    code = counting("one").replace("def export_state", "async def export_state")
    code = code.replace("return repr", "if GATE: await GATE[-1].wait()\n        return repr")
    code = f"from {__name__} import GATE\n{code}"
    first = await bench.serve(1, bench.plugin(code, manifest=MANIFEST))
    second = await bench.serve(2, bench.plugin(counting("two"), manifest=MANIFEST))
    LOG.clear()
    GATE.append(asyncio.Event())
    releasing = asyncio.create_task(bench.retire())
    await until(lambda: LOG == ["one export_state"], "the last export to begin")
    late = unit_set(first, "pricing:quote").lease(LeaseKind.TASK, 1, "/", 0)
    GATE.pop().set()
    await until(lambda: LOG[-1] == "two merge_state of 1.0.0", "the first of the last merges")
    hit(first)
    assert "one on_unload" not in LOG
    late.release()
    await asyncio.wait_for(releasing, 10)
    assert LOG.count("two merge_state of 1.0.0") == 2
    assert hits(second) == {"ann": 1}


async def test_a_request_that_comes_and_goes_during_the_last_merge_is_merged_too(bench: Bench) -> None:
    first = await begun(bench)
    code = counting("two").replace("def merge_state", "async def merge_state")
    code = code.replace("before = eval(", "if GATE: await GATE[-1].wait()\n        before = eval(")
    code = f"from {__name__} import GATE\n{code}"
    second = await bench.serve(2, bench.plugin(code, manifest=MANIFEST))
    LOG.clear()
    GATE.append(asyncio.Event())
    releasing = asyncio.create_task(bench.retire())
    await until(lambda: LOG == ["one export_state", "two merge_state of 1.0.0"], "the last merge to begin")
    late = unit_set(first, "pricing:quote").lease(LeaseKind.TASK, 1, "/", 0)
    hit(first)
    late.release()
    GATE.pop().set()
    await asyncio.wait_for(releasing, 10)
    assert LOG.count("two merge_state of 1.0.0") == 2
    assert hits(second) == {"ann": 2}


async def test_a_struct_is_exported_as_message_pack(bench: Bench) -> None:
    code = counting("one").replace("class Own", "import msgspec\nclass Hits(msgspec.Struct): n: int\nclass Own")
    one = code.replace("return repr(self.hits).encode()", "return Hits(7)")
    two = counting("two").replace("eval(state)", "state")
    await bench.serve(1, bench.plugin(one, manifest=MANIFEST))
    second = await bench.built(2, bench.plugin(two, manifest=MANIFEST))
    assert msgspec.msgpack.decode(loaded(second).instance.hits) == {"n": 7}  # type: ignore[union-attr]


OLD, NEW = counting("one"), counting("two")
GIVEN = "return repr(self.hits).encode()"
REFUSED = {
    "an export that raises": (OLD.replace(GIVEN, "raise KeyError('no')"), NEW, "export_state", Fault.RESOURCE),
    "an export of something else": (OLD.replace(GIVEN, "return {}"), NEW, "export_state", Fault.RESOURCE),
    "an export that is too much": (OLD.replace(GIVEN, "return bytes(2000)"), NEW, "export_state", Fault.RESOURCE),
    "an import that raises": (OLD, NEW.replace("self.hits = eval(state)", "1 / 0"), "import_state", Fault.CRASH),
    "an import that hangs": (OLD, NEW.replace("self.hits = eval", "await asyncio.sleep"), "import_state", Fault.CRASH),
    "an import that leaves": (OLD, NEW.replace("self.hits = eval(state)", "sys.exit()"), "import_state", Fault.CRASH),
}


@pytest.mark.parametrize(("one", "two", "hook", "fault"), REFUSED.values(), ids=REFUSED)
async def test_state_that_does_not_go_over_refuses_and_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, one: str, two: str, hook: str, fault: Fault
) -> None:
    monkeypatch.setattr(state, "MOST_STATE", 1000)
    first = await bench.serve(1, bench.plugin(one, manifest=MANIFEST))
    hit(first)
    refusal = await bench.refused(2, bench.plugin(two, manifest=MANIFEST))
    assert (refusal.stage, refusal.fault, refusal.hook) == (Stage.INITIALISE, fault, hook)
    assert refusal.unit == "plugin pricing"
    assert LOG[-1] == "two on_unload"
    assert (hits(first), loaded(first).exported) == ({"ann": 1}, None)
    assert bench.switch.current is first


BROKEN = OLD.replace(GIVEN, "return {}['boom']")


async def test_a_refusal_for_what_serves_names_that_and_how_to_go_on_and_may_pass(bench: Bench) -> None:
    await bench.serve(1, bench.plugin(BROKEN, version="1.4.0", manifest=MANIFEST))
    refusal = await bench.refused(2, bench.plugin(NEW, version="1.5.0", manifest=MANIFEST))
    assert refusal.summary == (
        "pricing 1.4.0, which serves, does not give its state: KeyError: 'boom' (pricing.py:16); mend what it keeps, "
        "or begin without its state: by a rollback, or `changeover reload --force`"
    )
    assert (refusal.fault.transient, refusal.where) == (True, "")
    assert "return {}['boom']" in refusal.traceback


async def test_what_may_begin_without_state_that_is_not_given_does_and_is_given_none_later(bench: Bench) -> None:
    first = await bench.serve(1, bench.plugin(BROKEN, version="1.5.0", manifest=MANIFEST))
    hit(first)
    LOG.clear()
    candidate = bench.snapshot(2, bench.plugin(NEW, version="1.4.0", manifest=MANIFEST))
    second = await bench.workshop.build(msgspec.structs.replace(candidate, afresh=True))
    assert isinstance(second, Generation)
    await bench.activate(second)
    await bench.retire()
    assert (hits(second), bench.degraded) == ({}, [])
    assert LOG == ["two on_reload", "one export_state", "one on_deactivate", "two on_activate", "one on_unload"]
    why = "export_state of 1.5.0 failed: KeyError: 'boom' (pricing.py:16)"
    assert bench.witness.fresh == [("1.4.0", "1.5.0", why)]


async def test_what_may_begin_without_state_does_not_wait_for_it_for_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "PATIENCE", 0.05)
    hangs = OLD.replace(GIVEN, "return asyncio.sleep(60)")
    await bench.serve(1, bench.plugin(hangs, version="1.5.0", manifest=MANIFEST))
    candidate = bench.snapshot(2, bench.plugin(NEW, version="1.4.0", manifest=MANIFEST))
    second = await asyncio.wait_for(bench.workshop.build(msgspec.structs.replace(candidate, afresh=True)), 4)
    assert isinstance(second, Generation)
    [(*_, why)] = bench.witness.fresh
    assert why.startswith("export_state of 1.5.0 failed: not done within 0.05 s")


async def test_what_may_begin_without_state_takes_what_it_is_given_and_an_import_that_fails_refuses(
    bench: Bench,
) -> None:
    await begun(bench)
    for code, taken in ((NEW, True), (NEW.replace("self.hits = eval(state)", "1 / 0"), False)):
        candidate = msgspec.structs.replace(bench.snapshot(2, bench.plugin(code, manifest=MANIFEST)), afresh=True)
        built = await bench.workshop.build(candidate)
        assert isinstance(built, Generation) is taken
        if isinstance(built, Generation):
            assert hits(built) == {"ann": 1}
            await bench.workshop.discard(built)


async def test_an_import_that_takes_too_long_is_refused(bench: Bench) -> None:
    bench.workshop = bench.make(0.05)
    await begun(bench)
    code = NEW.replace("self.hits = eval(state)", "await asyncio.sleep(60)")
    refusal = await bench.refused(2, bench.plugin(code, manifest=MANIFEST))
    assert (refusal.hook, refusal.fault) == ("import_state", Fault.TIMEOUT)


async def test_a_discarded_candidate_leaves_the_old_one_as_it_was(bench: Bench) -> None:
    first = await begun(bench)
    candidate = await bench.built(2, bench.plugin(NEW, manifest=MANIFEST))
    hit(candidate)
    assert loaded(first).exported == b"{'ann': 1}"
    await bench.workshop.discard(candidate)
    assert (hits(first), loaded(first).exported) == ({"ann": 1}, None)
    third = await bench.serve(3, bench.plugin(counting("three"), manifest=MANIFEST))
    assert hits(third) == {"ann": 1}


async def test_a_merge_that_fails_is_told_and_made_good_by_the_next(bench: Bench) -> None:
    first = await begun(bench)
    twice = "if LOG.count('two merge_state of 1.0.0') == 1: raise OSError('not now')"
    code = NEW.replace("before = eval(imported", f"{twice}\n        before = eval(imported")
    second = await bench.built(2, bench.plugin(code, manifest=MANIFEST))
    hit(first)
    await bench.activate(second)
    [refusal] = bench.degraded
    assert (refusal.stage, refusal.hook) == (Stage.COMMIT, "merge_state")
    assert (hits(second), LOG[-1]) == ({"ann": 1}, "two on_activate")
    await bench.retire()
    assert hits(second) == {"ann": 2}
    assert len(bench.degraded) == 1


async def test_a_removed_plugin_gives_its_state_to_nobody(bench: Bench) -> None:
    other = bench.plugin("class Own(Plugin[None]): ...", id="other")
    first = await bench.serve(1, other, bench.plugin(OLD, manifest=MANIFEST))
    hit(first)
    await bench.serve(2, other)
    await bench.retire()
    assert LOG == ["one on_activate", "one on_deactivate", "one on_unload"]
