"""Initializers of plugins: configured before the commit, refused with a class, shared while nothing changes."""

from pathlib import Path

import msgspec
import pytest

from changeover.workers.generation.solo import Stored
from changeover.workers.generation.switch import Generation
from changeover.workers.message.pipeline import MessagePipeline
from changeover.workers.protocol.assembly import Rule
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import ChannelSpec, Snapshot, UnitKey, UnitKind, UnitRef
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.lease import LeaseKind
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind
from tests.bench import LOG, Bench

ADDRESS = "127.0.0.1:8011"
PLUGIN = UnitRef(UnitKind.PLUGIN, "feed")
MANIFEST = '[initializers]\nlines = "feed:Lines"\n'
LOWER = '[initializers]\nlines = "feed:lines"\n'
CODE = """
class Lines(PipelineInitializer):
    def configure(self, chain, channel):
        {configure}
        chain.codec(LineCodec())
        chain.service(lambda message, call: message)
"""


def feed(bench: Bench, configure: str = "pass", code: str = CODE, manifest: str = MANIFEST) -> Stored:
    return bench.plugin(code.replace("{configure}", configure), id="feed", manifest=manifest)


def snapshot(bench: Bench, epoch: int, *plugins: Stored, digest: str = "c", name: str = "feed:lines") -> Snapshot:
    """A generation in which an address selects an initializer."""
    without = bench.snapshot(epoch, *plugins)
    ref = UnitRef(UnitKind.CHANNEL, ADDRESS)
    below = next(unit.key.digest for unit in without.units if unit.key.ref == PLUGIN)
    known = {unit.key.ref: unit.key for unit in bench.switch.current.snapshot.units}.get(ref)
    same = known is not None and known.digest == digest + below
    key = known if known is not None and same else UnitKey(ref, digest + below, epoch)
    channel = ChannelSpec(key, rules=(Rule(name),), requires=(PLUGIN,))
    return msgspec.structs.replace(without, units=(*without.units, channel))


async def built(bench: Bench, made: Snapshot) -> Generation:
    generation = await bench.workshop.build(made)
    assert isinstance(generation, Generation), generation
    return generation


async def refused(bench: Bench, configure: str = "pass", code: str = CODE, manifest: str = MANIFEST) -> Refusal:
    refusal = await bench.workshop.build(snapshot(bench, 1, feed(bench, configure, code, manifest)))
    assert isinstance(refusal, Refusal)
    assert bench.workshop.resident() == ()
    return refusal


async def test_an_initializer_is_configured_twice_before_the_commit_with_where_it_serves(bench: Bench) -> None:
    generation = await built(bench, snapshot(bench, 1, feed(bench, "LOG.append(channel.address)")))
    assert LOG == [ADDRESS, ADDRESS]
    target = generation.messages[ADDRESS, "feed:lines"]
    assert target.pipeline.descriptor.name == "Lines"
    assert {str(key.ref) for key in target.unit_set.keys} == {"plugin feed", f"channel {ADDRESS}"}
    await bench.workshop.discard(generation)


async def test_what_is_unchanged_is_shared_and_a_changed_plugin_is_configured_anew(bench: Bench) -> None:
    first = await built(bench, snapshot(bench, 1, feed(bench)))
    await bench.activate(first)
    other = bench.plugin(CODE.format(configure="pass"), id="other", manifest='[initializers]\nlines = "other:Lines"\n')
    second = await built(bench, snapshot(bench, 2, feed(bench), other))
    assert second.messages[ADDRESS, "feed:lines"] == first.messages[ADDRESS, "feed:lines"]
    await bench.activate(second)
    third = await built(bench, snapshot(bench, 3, feed(bench, "chain.limits(idle=9)"), other))
    assert third.messages[ADDRESS, "feed:lines"].pipeline.bounds.idle == 9
    await bench.activate(third)
    assert {str(key.ref) for key in await bench.retire()} == {"plugin feed", f"channel {ADDRESS}"}


async def test_a_message_holds_the_units_of_its_protocol(bench: Bench) -> None:
    first = await built(bench, snapshot(bench, 1, feed(bench)))
    await bench.activate(first)
    lease = first.messages[ADDRESS, "feed:lines"].unit_set.lease(LeaseKind.HTTP, 1, "feed:lines", 0)
    assert bench.workshop.leases() == [lease]
    await bench.activate(await built(bench, snapshot(bench, 2, feed(bench, "chain.limits(idle=9)"))))
    assert bench.drained == []
    assert bench.workshop.leases() == [lease]
    lease.release()
    assert {str(key.ref) for key in await bench.retire()} == {"plugin feed", f"channel {ADDRESS}"}


@pytest.mark.parametrize(
    ("configure", "fault", "told"),
    [
        ("raise ConfigUnusable('most = 0')", Fault.CONFIG, "most = 0"),
        ("chain.service(print)", Fault.CONTRACT, "two services"),
        ("chain.inbound(str(time.monotonic_ns()), print)", Fault.CONTRACT, "something else when it is called again"),
        ("raise PermissionError('no')", Fault.CAPABILITY, "no"),
        ("raise OSError(24, 'Too many open files')", Fault.RESOURCE, "Too many open files"),
        ("raise ConnectionRefusedError('no database')", Fault.RESOURCE, "no database"),
        ("raise TimeoutError('late')", Fault.TIMEOUT, "late"),
        ("1 / 0", Fault.CRASH, "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", Fault.CRASH, "SystemExit: 3"),
    ],
)
async def test_a_failing_configure_has_a_class_that_decides_what_is_tried_again(
    bench: Bench, configure: str, fault: Fault, told: str
) -> None:
    refusal = await refused(bench, configure)
    assert (refusal.fault, refusal.stage, refusal.unit) == (fault, Stage.PREPARE, "plugin feed")
    assert refusal.hook == "initializer lines"
    assert told in refusal.summary


async def test_a_configure_that_hangs_is_left_behind_at_its_deadline(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hook_deadline=0.2)
    refusal = await refused(bench, "time.sleep(1)")
    assert refusal.fault is Fault.TIMEOUT
    assert refusal.fault.transient
    await bench.workshop.close()


@pytest.mark.parametrize(
    ("code", "manifest", "told"),
    [
        ("lines = 3", LOWER, "initializer 'lines' is a int; write a subclass of"),
        (
            "def lines(chain, channel): ...",
            '[initializers]\nlines = "feed:lines"\n',
            "or a function under @initializer",
        ),
        ("class Lines: ...", MANIFEST, "initializer 'lines' is a Lines; write a subclass of"),
        (
            CODE,
            '[initializers]\nother = "feed:Lines"\n',
            "initializer 'lines' is not in the manifest, which offers: other",
        ),
        (CODE, '[initializers]\nlines = "feed:Line"\n', "feed has no 'Line'"),
    ],
)
async def test_what_is_no_initializer_is_refused_by_name(bench: Bench, code: str, manifest: str, told: str) -> None:
    refusal = await refused(bench, code=code, manifest=manifest)
    assert refusal.fault is Fault.CONTRACT
    assert told in refusal.summary


async def test_each_failure_is_an_event_with_its_class_and_its_reason(bench: Bench) -> None:
    await refused(bench, "1 / 0")
    await refused(bench, "raise PermissionError('no')")
    await refused(bench, code="lines = 3", manifest=LOWER)
    assert {(each.kind, each.subject) for each in bench.events} == {
        (PipelineEventKind.INITIALIZER_FAILED, "feed:lines"),
    }
    first, second, third = [each.detail for each in bench.events]
    assert first == "crash: ZeroDivisionError: division by zero"
    assert second == "capability: PermissionError: no"
    assert third.startswith("contract: initializer 'lines' is a int")


async def test_a_mistake_of_this_server_s_is_told_of_the_initializer_that_it_befell(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MessagePipeline, "count", None)
    refusal = await refused(bench)
    assert (refusal.fault, refusal.unit, refusal.hook) == (Fault.INTERNAL, f"channel {ADDRESS}", "initializer lines")
    [event] = [each for each in bench.events if each.kind is PipelineEventKind.INITIALIZER_FAILED]
    assert (event.subject, event.detail.partition(":")[0]) == ("feed:lines", "internal")


async def test_its_pipeline_tells_when_it_was_assembled_serves_and_has_drained(bench: Bench) -> None:
    def told() -> list[tuple[PipelineEventKind, str]]:
        name = f"{ADDRESS} feed:lines"
        return [(each.kind, each.detail) for each in bench.events if each.pipeline == name]

    first = await built(bench, snapshot(bench, 1, feed(bench, "chain.inbound('gate', print)")))
    assembled = (PipelineEventKind.ASSEMBLED, "1 handlers, of epoch 1")
    assert told() == [assembled]
    await bench.activate(first)
    activated = (PipelineEventKind.ACTIVATED, "1 handlers, of epoch 1")
    assert told() == [assembled, activated]
    lease = first.messages[ADDRESS, "feed:lines"].unit_set.lease(LeaseKind.HTTP, 1, "feed:lines", 0)
    await bench.activate(await built(bench, snapshot(bench, 2, feed(bench))))
    assert [kind for kind, _ in told()[2:]] == [PipelineEventKind.ASSEMBLED, PipelineEventKind.ACTIVATED]
    lease.release()
    assert told()[4:] == [(PipelineEventKind.DRAINED, "1 handlers, of epoch 1")]


async def test_the_listener_keeps_its_last_good_initializer(bench: Bench) -> None:
    first = await built(bench, snapshot(bench, 1, feed(bench)))
    await bench.activate(first)
    refusal = await bench.workshop.build(snapshot(bench, 2, feed(bench, "1 / 0")))
    assert isinstance(refusal, Refusal)
    assert bench.switch.current is first
    assert first.messages[ADDRESS, "feed:lines"].pipeline.codec is not None
    assert len(bench.workshop.resident()) == 2


INSTANCE = """
class Own(Plugin[None]):
    def on_load(self, ctx):
        self.longest = 7
    @initializer
    def lines(self, chain, channel):
        "Lines of a plugin with state."
        LOG.append(str(self.longest))
        chain.codec(LineCodec(self.longest))
        chain.service(self.answer)
    def answer(self, message, call):
        return message
"""


async def test_a_method_of_the_plugin_is_an_initializer_after_its_plugin_was_loaded(bench: Bench) -> None:
    stored = feed(bench, code=INSTANCE, manifest='plugin = "feed:Own"\ninitializers = ["lines"]\n')
    generation = await built(bench, snapshot(bench, 1, stored))
    assert LOG == ["7", "7"]
    assert generation.messages[ADDRESS, "feed:lines"].pipeline.descriptor.summary == "Lines of a plugin with state."
    await bench.workshop.discard(generation)


SELECTING = """
def is_old(outcome):
    if outcome.sni == "broken":
        raise LookupError(f"no such name, for {outcome}")
    if outcome.sni == "odd":
        return "yes"
    return outcome.alpn == ""
"""


class Heard:
    """Keeps what it is told."""

    def __init__(self, told: list[PipelineEvent]) -> None:
        self._told = told

    def note(self, event: PipelineEvent) -> None:
        self._told.append(event)


async def test_a_rule_asks_a_plugin_and_a_failure_is_told_and_is_no(bench: Bench) -> None:
    plugin = bench.plugin(SELECTING, id="feed", manifest='selectors = { old = "feed:is_old" }\n')
    rules = (Rule("http", use="feed:old"),)
    made = snapshot(bench, 1, plugin)
    made = msgspec.structs.replace(
        made,
        units=tuple(
            msgspec.structs.replace(unit, rules=rules) if isinstance(unit, ChannelSpec) else unit for unit in made.units
        ),
    )
    generation = await built(bench, made)
    told: list[PipelineEvent] = []
    bench.workshop._counters.observer = Heard(told)
    channel = generation.channels[ADDRESS]
    assert channel.choose(HandshakeOutcome())[:2] == ("http", True)
    assert channel.choose(HandshakeOutcome(alpn="h2"))[:2] == (None, False)
    for protocol in ("", "h2"):
        assert channel.choose(HandshakeOutcome(sni="broken", alpn=protocol))[:2] == (None, False)
    assert channel.choose(HandshakeOutcome(sni="odd"))[:2] == (None, False)
    assert [(event.subject, event.detail) for event in told] == [
        ("feed:old", "crash: selector raised LookupError at feed.py:7"),
        ("feed:old", "crash: selector raised LookupError at feed.py:7"),
        ("feed:old", "contract: selector answered with a str, not a bool"),
    ]
    await bench.workshop.discard(generation)
