"""What a worker runs is read from the instances that requests pass, so that a deviation would show."""

from changeover.workers.generation import inspection
from changeover.workers.protocol.registry import PipelineEntry
from changeover.workers.serving.lease import LeaseKind
from tests.bench import Bench, unit_set

CODE = """
class Own(Plugin[None]):
    @inbound
    def limit(self, request, call):
        return None

    @outbound
    def stamp(self, request, response, call):
        response.headers["x-plugin"] = "{0}"

    @service
    async def quote(self, request, call):
        return Response.text("{0}")
"""
MANIFEST = """
plugin = "pricing:Own"
handlers = { limit = { direction = "inbound", phase = "security" }, stamp = "outbound" }
services = { quote = { mount = "/prices" } }
"""


async def serve(bench: Bench, epoch: int) -> PipelineEntry:
    await bench.serve(epoch, bench.plugin(CODE.format(epoch), manifest=MANIFEST))
    [entry] = inspection.pipelines(bench.switch.current)
    return entry


async def test_handlers_are_found_in_order_with_their_owner_and_what_they_declare(bench: Bench) -> None:
    entry = await serve(bench, 1)
    assert [(handler.name, handler.direction, handler.phase) for handler in entry.handlers] == [
        ("pricing:limit", "inbound", "security"),
        ("pricing:stamp", "outbound", "app"),
    ]
    assert entry.service is not None
    assert str(entry.service.ref) == "service pricing:quote"
    assert [route.path for route in entry.routes] == ["/prices"]
    owners = [handler.owner for handler in entry.handlers]
    assert [str(owner.ref) for owner in owners if owner is not None] == ["plugin pricing"] * 2


async def test_what_runs_after_a_swap_is_of_the_new_epoch(bench: Bench) -> None:
    before, after = await serve(bench, 1), await serve(bench, 2)
    assert (before.key.since, after.key.since) == (1, 2)
    assert before.key.digest != after.key.digest
    assert {handler.owner.since for handler in after.handlers if handler.owner is not None} == {2}


async def test_a_handler_that_is_another_object_than_its_plugin_has_belongs_to_nobody(bench: Bench) -> None:
    await serve(bench, 1)
    [target] = bench.switch.current.router.targets
    first, *rest = target.pipeline.handlers
    target.pipeline.handlers = (type(first)(first.name, first.kind, first.call), *rest)
    [entry] = inspection.pipelines(bench.switch.current)
    assert entry.handlers[0].owner is None
    assert entry.handlers[1].owner is not None


async def test_who_holds_a_pipeline_is_counted_by_kind(bench: Bench) -> None:
    entry = await serve(bench, 1)
    units = unit_set(bench.switch.current, entry.key.ref.name)
    units.lease(LeaseKind.HTTP, 1, "/prices", 0)
    units.lease(LeaseKind.HTTP, 1, "/prices", 0)
    units.lease(LeaseKind.STREAM, 1, "/prices", 0)
    [entry] = inspection.pipelines(bench.switch.current)
    assert entry.leases == {"http": 2, "stream": 1}
