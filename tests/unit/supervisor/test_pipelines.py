"""What is meant to run beside what runs, and what was counted."""

import msgspec
import pytest

from changeover.supervisor.cli.pipelines import every_pipeline, one_pipeline
from changeover.supervisor.pipelines import (
    PipelineRegistryView,
    PipelinesView,
    pipeline_lines,
    pipeline_views,
    worker_pipeline,
)
from changeover.supervisor.raw_pipelines import raw_lines, raw_spec, raw_views
from changeover.workers.protocol.assembly import InitializerDescriptor, Rule
from changeover.workers.protocol.counted import Counts, HandlerCounts, PipelineCounts, ServiceCounts
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import TellPipelines
from changeover.workers.protocol.registry import HandlerEntry, PipelineEntry
from changeover.workers.protocol.snapshot import (
    ChannelSpec,
    HandlerRef,
    PipelineSpec,
    PluginSpec,
    Route,
    ServiceSpec,
    Snapshot,
    UnitKey,
    UnitKind,
    UnitRef,
)


def key(kind: UnitKind, name: str, since: int = 7) -> UnitKey:
    return UnitKey(UnitRef(kind, name), f"{name} {since}", since)


PLUGIN = PluginSpec(key(UnitKind.PLUGIN, "pricing", 5), "1.5.0", "a" * 64)
QUOTE = ServiceSpec(key(UnitKind.SERVICE, "pricing:quote"), "pricing", "quote")
HANDLERS = (HandlerRef("", "request-id", b'{"trust": true}'), HandlerRef("pricing", "discount"))
SHOP = PipelineSpec(key(UnitKind.PIPELINE, "shop"), HANDLERS, QUOTE.key.ref)
ROUTE = Route("shop", "/", "shop.example")
SERVING = Snapshot(7, "d", (PLUGIN, QUOTE, SHOP), (ROUTE, Route("other", "/other")))
PARTS = (
    HandlerEntry("request-id", "inbound", "transport"),
    HandlerEntry("request-id", "outbound", "transport"),
    HandlerEntry("pricing:discount", "around", "app", PLUGIN.key),
)
ENTRY = PipelineEntry(SHOP.key, (ROUTE,), PARTS, QUOTE.key, {"http": 2})
COUNTS = Counts(
    {"shop": PipelineCounts({"shop.example/": 9}, {"2xx": 7, "5xx": 2}, {"pricing:discount": HandlerCounts(1, 5, 5)})},
    {"pricing:quote": ServiceCounts(4, 1)},
)


def told(*entries: PipelineEntry, epoch: int = 7) -> TellPipelines:
    return TellPipelines(Stamp("j", 1, epoch), WorkerId(1, 0, 1), 1, epoch, entries, COUNTS)


def test_the_status_has_a_line_for_each_pipeline() -> None:
    [line] = pipeline_lines(SERVING, COUNTS)
    assert (line.id, line.hits, line.failed, line.service) == ("shop", 9, 2, "pricing:quote")
    assert (line.not_ready, line.unready) == (4, 1)
    assert pipeline_lines(None, COUNTS) == ()


def test_a_pipeline_is_shown_with_everything_that_is_known_of_it() -> None:
    [view] = pipeline_views(SERVING, COUNTS, [told(ENTRY), told(ENTRY)])
    assert (view.digest, view.since, view.routes) == (SHOP.key.digest, 7, (ROUTE,))
    request_id, discount = view.handlers
    assert (request_id.direction, request_id.phase) == ("inbound, outbound", "transport")
    assert (request_id.settings, request_id.owner, request_id.version) == ('{"trust": true}', "changeover", "")
    assert (discount.direction, discount.owner, discount.version) == ("around", "pricing", "1.5.0")
    assert (discount.digest, discount.since, discount.counts.longest) == (PLUGIN.key.digest, 5, 5)
    assert view.service is not None
    assert (view.service.since, view.service.counts.not_ready) == (7, 4)
    assert view.leases == {"http": 4}


def test_what_only_workers_know_is_empty_while_none_answers() -> None:
    [view] = pipeline_views(SERVING, Counts(), [])
    assert [handler.direction for handler in view.handlers] == ["", ""]
    assert view.leases == {}
    assert view.counts.hits == 0


def test_a_worker_that_runs_what_is_meant_does_not_deviate() -> None:
    view = worker_pipeline(0, 41, told(ENTRY), SHOP, "shop")
    assert (view.deviation, view.epoch, view.pipeline, view.counts.hits) == ("", 7, ENTRY, 9)


OLD = msgspec.structs.replace(ENTRY, key=key(UnitKind.PIPELINE, "shop", 6))


@pytest.mark.parametrize(
    ("entries", "deviation"),
    [
        ((), "it does not run here"),
        ((OLD,), "it is shop 6 of epoch 6 and not shop 7 of epoch 7"),
        (
            (msgspec.structs.replace(ENTRY, handlers=PARTS[:2]),),
            "its handlers are request-id and not request-id, pricing:discount",
        ),
        (
            (msgspec.structs.replace(ENTRY, handlers=(PARTS[2], *PARTS[:2])),),
            "its handlers are pricing:discount, request-id and not request-id, pricing:discount",
        ),
        ((msgspec.structs.replace(ENTRY, service=None),), "nothing answers and not service pricing:quote"),
    ],
)
def test_a_worker_that_runs_something_else_is_said_to(entries: tuple[PipelineEntry, ...], deviation: str) -> None:
    assert worker_pipeline(0, 41, told(*entries), SHOP, "shop").deviation == deviation


def test_a_ready_made_handler_that_stands_there_twice_is_as_meant() -> None:
    twice = (HandlerRef("", "rate-limit", b'{"limit":5}'), HandlerRef("", "rate-limit", b'{"limit":9}'))
    spec = msgspec.structs.replace(SHOP, handlers=twice)
    entry = msgspec.structs.replace(ENTRY, handlers=(HandlerEntry("rate-limit", "inbound", "limit"),) * 2)
    assert worker_pipeline(0, 41, told(entry), spec, "shop").deviation == ""


ADDRESS = "127.0.0.1:8011"
RAW = f"{ADDRESS} pricing:lines"
CHANNEL = ChannelSpec(key(UnitKind.CHANNEL, ADDRESS), rules=(Rule("pricing:lines"),), requires=(PLUGIN.key.ref,))
SPEAKING = Snapshot(7, "d", (PLUGIN, QUOTE, SHOP, CHANNEL), (ROUTE,))
GATE = HandlerEntry("pricing:gate", "inbound", "security", PLUGIN.key)
SAID = InitializerDescriptor("Lines", "prices", "One price a line.")
RAW_ENTRY = PipelineEntry(CHANNEL.key, (), (GATE,), PLUGIN.key, {"http": 1}, "pricing:lines", SAID)
RAW_COUNTS = Counts(
    {RAW: PipelineCounts({ADDRESS: 5}, {}, {"pricing:gate": HandlerCounts(1, 9, 9)}, {"internal error": 2, "idle": 1})},
    {"pricing:lines": ServiceCounts(3, 1)},
)


def test_a_raw_protocol_has_a_line_and_a_row_beside_those_of_http() -> None:
    assert [line.id for line in pipeline_lines(SPEAKING, RAW_COUNTS)] == ["shop"]
    [line] = raw_lines(SPEAKING, RAW_COUNTS)
    assert (line.id, line.hits, line.failed, line.service) == (RAW, 5, 2, "pricing:lines")
    assert (line.not_ready, line.unready) == (3, 1)
    [view] = raw_views(SPEAKING, RAW_COUNTS, [told(ENTRY, RAW_ENTRY), told(ENTRY, RAW_ENTRY)])
    assert (view.id, view.address, view.digest, view.routes) == (RAW, ADDRESS, CHANNEL.key.digest, ())
    [gate] = view.handlers
    assert (gate.name, gate.phase, gate.owner, gate.version, gate.counts.longest) == (
        "pricing:gate",
        "security",
        "pricing",
        "1.5.0",
        9,
    )
    assert view.service is not None
    assert (view.service.name, view.service.since, view.service.counts.not_ready) == ("pricing:lines", 5, 3)
    assert (view.leases, view.counts.hits, view.failed) == ({"http": 2}, 5, 2)
    assert view.initializer == SAID
    [unheard] = raw_views(SPEAKING, RAW_COUNTS, [])
    assert unheard.initializer is None
    assert raw_lines(None, RAW_COUNTS) == ()
    assert raw_views(None, RAW_COUNTS, []) == ()


def test_a_worker_is_asked_what_it_speaks_at_an_address() -> None:
    spec = raw_spec(SPEAKING, RAW)
    assert spec == CHANNEL
    assert raw_spec(SPEAKING, ADDRESS) is None
    assert worker_pipeline(0, 41, told(ENTRY, RAW_ENTRY), spec, RAW).deviation == ""
    assert worker_pipeline(0, 41, told(ENTRY), spec, RAW).deviation == "it does not run here"
    older = msgspec.structs.replace(RAW_ENTRY, key=key(UnitKind.CHANNEL, ADDRESS, 6))
    assert "of epoch 6 and not" in worker_pipeline(0, 41, told(older), spec, RAW).deviation


def test_a_raw_protocol_is_laid_out_by_its_address_messages_and_ends() -> None:
    views = raw_views(SPEAKING, RAW_COUNTS, [told(RAW_ENTRY)])
    _, row = every_pipeline(PipelinesView(7, views))
    assert row.split()[:5] == [*RAW.split(), ADDRESS, "5", "2"]
    lines = list(one_pipeline(views[0], PipelineRegistryView(7, RAW, CHANNEL.key.digest)))
    assert f"address  {ADDRESS}" in lines
    assert "speaks   Lines (prices): One price a line." in lines
    assert "messages 5" in lines
    assert "ended    internal error: 2, idle: 1" in lines
    assert any(line.startswith("pricing:gate  inbound") for line in lines)


def test_a_pipeline_that_only_a_worker_has_is_said_to_run() -> None:
    assert (
        worker_pipeline(0, 41, told(ENTRY), None, "shop").deviation == "it runs, and what serves has no such pipeline"
    )
