"""Candidates: what keeps its instance and what does not, in an order that is always the same."""

import msgspec
import pytest

from changeover.supervisor.artifacts import rollback
from changeover.supervisor.artifacts.candidate import application_spec, assemble, snapshot, unit_digest
from changeover.supervisor.artifacts.content import Content
from changeover.supervisor.artifacts.difference import summary
from changeover.supervisor.artifacts.layout import lay_out
from changeover.supervisor.config.settings import App, Pipeline, PipelineMatch, Plugins, Settings
from changeover.workers.plugins.manifest_reading import read_toml
from changeover.workers.protocol.snapshot import Snapshot

SHOP = Settings(
    app=App("shop:app", "/srv"),
    plugins=Plugins("plugins"),
    pipelines=(
        Pipeline(PipelineMatch("/"), ("authz:check",), "app"),
        Pipeline(PipelineMatch("/maintenance")),
    ),
)
QUOTE = 'requires = { catalog = ">=1" }\n[services]\nquote = "/prices"\n'
CHECK = '[handlers]\ncheck = { direction = "inbound", phase = "security" }\n'


def content(plugin: str, version: str = "1.0", more: str = "", config: bytes = b"\x80", code: str = "") -> Content:
    manifest = read_toml(f'id = "{plugin}"\nversion = "{version}"\n{more}', "plugin.toml")
    return Content(manifest, f"{plugin} {version} {more} {code}", config, "plugin.toml")


AUTHZ, CATALOG, PRICING = content("authz", more=CHECK), content("catalog"), content("pricing", more=QUOTE)


def generation(
    epoch: int, current: Snapshot | None, *contents: Content, settings: Settings = SHOP, app: str = "app code"
) -> Snapshot:
    there = {each.manifest.id: each for each in contents}
    plans = lay_out(settings, there).plans
    application = application_spec(settings.app, app, "installed", epoch) if settings.app else None
    units = assemble(there, application, plans, epoch)
    made = snapshot(units, [route for plan in plans for route in plan.routes], epoch, current)
    assert list(made.inconsistencies()) == []
    return made


def since(of: Snapshot) -> dict[str, int]:
    return {str(unit.key.ref): unit.key.since for unit in of.units}


@pytest.fixture
def first() -> Snapshot:
    return generation(1, None, PRICING, CATALOG, AUTHZ)


def test_units_come_after_what_they_require_and_else_by_name(first: Snapshot) -> None:
    assert list(since(first)) == [
        "plugin authz",
        "plugin catalog",
        "plugin pricing",
        "application app",
        "service pricing:quote",
        "pipeline /",
        "pipeline /maintenance",
        "pipeline pricing:quote",
    ]
    assert [route.path for route in first.routes] == ["/", "/maintenance", "/prices"]


def further(made: Content, **fields: object) -> Content:
    return msgspec.structs.replace(made, **fields)


def test_a_plugin_that_uses_nothing_new_keeps_the_digest_that_it_always_had(first: Snapshot) -> None:
    [catalog] = [unit.key for unit in first.units if unit.key.ref.name == "catalog"]
    assert catalog.digest == unit_digest(catalog.ref, (CATALOG.artifact, CATALOG.config), ())


@pytest.mark.parametrize(
    "fields",
    [{"code": "c"}, {"granted": ("net",)}, {"distribution": "catalog==1.0"}],
    ids=lambda fields: next(iter(fields)),
)
def test_what_else_makes_a_plugin_up_travels_with_it_and_is_part_of_its_digest(
    first: Snapshot, fields: dict[str, object]
) -> None:
    second = generation(2, first, PRICING, further(CATALOG, **fields), AUTHZ)
    assert since(second)["plugin catalog"] == 2
    [catalog] = [unit for unit in second.units if unit.key.ref.name == "catalog"]
    assert {name: getattr(catalog, name) for name in fields} == fields


def test_a_roll_knows_which_plugins_served_before_it_and_a_swap_need_not(first: Snapshot) -> None:
    swap = snapshot(first.units, first.routes, 2, first)
    roll = snapshot(first.units, first.routes, 2, first, rolls=True)
    assert swap.before == ()
    assert [(each.id, each.version) for each in roll.before] == [
        ("authz", "1.0"),
        ("catalog", "1.0"),
        ("pricing", "1.0"),
    ]
    assert {each.digest for each in roll.before} <= {unit.key.digest for unit in first.units}
    assert roll.digest == swap.digest


def test_the_order_in_which_things_are_found_changes_nothing(first: Snapshot) -> None:
    assert generation(1, None, AUTHZ, CATALOG, PRICING) == first


def test_equal_content_has_an_equal_digest_whichever_epoch_it_has(first: Snapshot) -> None:
    again = generation(7, None, PRICING, CATALOG, AUTHZ)
    assert again.digest == first.digest
    assert set(since(again).values()) == {7}


def test_what_is_unchanged_keeps_its_instance(first: Snapshot) -> None:
    second = generation(2, first, PRICING, CATALOG, AUTHZ)
    assert set(since(second).values()) == {1}
    assert second.keys() == first.keys()


def test_a_changed_plugin_renews_what_names_it_and_nothing_else(first: Snapshot) -> None:
    second = generation(2, first, content("pricing", "1.1", QUOTE), CATALOG, AUTHZ)
    renewed = {ref for ref, epoch in since(second).items() if epoch == 2}
    assert renewed == {"plugin pricing", "service pricing:quote", "pipeline pricing:quote"}


def test_a_changed_requirement_renews_all_that_rest_on_it(first: Snapshot) -> None:
    second = generation(2, first, PRICING, content("catalog", code="other"), AUTHZ)
    renewed = {ref for ref, epoch in since(second).items() if epoch == 2}
    assert renewed == {"plugin catalog", "plugin pricing", "service pricing:quote", "pipeline pricing:quote"}


def test_a_handlers_plugin_renews_the_pipeline_and_leaves_the_application_alone(first: Snapshot) -> None:
    second = generation(2, first, PRICING, CATALOG, content("authz", "2.0", CHECK))
    renewed = {ref for ref, epoch in since(second).items() if epoch == 2}
    assert renewed == {"plugin authz", "pipeline /"}


def test_configuration_is_content(first: Snapshot) -> None:
    second = generation(2, first, content("pricing", "1.0", QUOTE, msgspec.msgpack.encode({"a": 1})), CATALOG, AUTHZ)
    assert since(second)["plugin pricing"] == 2
    assert second.digest != first.digest


def test_a_route_alone_makes_other_content_and_keeps_every_instance(first: Snapshot) -> None:
    moved = msgspec.structs.replace(first.routes[-1], path="/p")
    second = snapshot(first.units, [*first.routes[:-1], moved], 2, first)
    assert second.digest != first.digest
    assert second.keys() == first.keys()


def test_content_that_went_away_and_came_back_is_a_new_instance(first: Snapshot) -> None:
    without = generation(2, first, AUTHZ)
    back = generation(3, without, PRICING, CATALOG, AUTHZ)
    assert since(back)["plugin pricing"] == 3
    assert since(back)["plugin authz"] == 1
    assert back.digest == first.digest


def test_a_rollback_keeps_only_what_serves_now(first: Snapshot) -> None:
    second = generation(2, first, content("pricing", "1.1", QUOTE), CATALOG, AUTHZ)
    back = rollback.restored(first, second, 3)
    assert back.digest == first.digest
    assert {ref for ref, epoch in since(back).items() if epoch == 3} == {
        "plugin pricing",
        "service pricing:quote",
        "pipeline pricing:quote",
    }
    assert list(back.inconsistencies()) == []


def test_a_rollback_brings_the_application_back_by_a_roll_and_says_what_it_leaves(first: Snapshot) -> None:
    second = generation(2, None, PRICING, CATALOG, AUTHZ, app="newer code")
    back = rollback.restored(first, second, 3)
    assert back.is_roll
    assert since(back)["application app"] == 3
    assert since(back)["pipeline /"] == 3
    assert tuple(rollback.left_out(first, second)) == (
        "not taken: data, installed packages, files of the application that are no modules "
        "(a rollback leaves them as they are)",
    )
    assert tuple(rollback.left_out(second, second)) == ()
    assert list(back.inconsistencies()) == []


def test_a_rollback_goes_to_the_latest_content_that_is_other_and_not_held(first: Snapshot) -> None:
    second = generation(2, first, CATALOG, AUTHZ)
    third = generation(3, second, AUTHZ)
    committed = (first, second, third)
    assert rollback.target(committed, third, None, frozenset()) is second
    assert rollback.target(committed, third, None, frozenset({second.digest})) is first
    assert rollback.target(committed, third, 1, frozenset()) is first
    assert rollback.target(committed, third, 9, frozenset()) is None
    assert rollback.target(committed, first, None, frozenset()) is None
    again = rollback.restored(second, third, 4)
    assert rollback.target((*committed, again), again, None, frozenset({third.digest})) is first


def counted(old: str, new: str) -> int:
    return 3


def test_a_difference_is_told_in_words(first: Snapshot) -> None:
    assert summary(None, first, counted) == (
        "+ authz 1.0",
        "+ catalog 1.0",
        "+ pricing 1.0",
        "+3 routes",
        "+ app shop:app",
    )
    second = generation(
        2,
        first,
        content("pricing", "1.1", QUOTE + 'admin = "/admin"\n'),
        content("catalog", config=b"\x81\xa1a\x01"),
        settings=msgspec.structs.replace(SHOP, pipelines=(Pipeline(PipelineMatch("/"), (), "app"),)),
    )
    assert summary(first, second, counted) == (
        "- authz 1.0",
        "catalog 1.0 (configuration)",
        "pricing 1.0 -> 1.1 (3 files)",
        "pipeline /: -authz:check",
        "+1 route",
        "-1 route",
        "app unchanged",
    )


def test_a_plugin_that_only_follows_says_what_it_follows(first: Snapshot) -> None:
    second = generation(2, first, PRICING, content("catalog", code="other"), AUTHZ)
    assert summary(first, second, lambda old, new: 1) == (
        "catalog 1.0 (1 file)",
        "pricing 1.0 (requires catalog)",
        "app unchanged",
    )


def test_what_a_ready_made_handler_is_told_is_content_of_its_pipeline_alone(first: Snapshot) -> None:
    def limited(epoch: int, current: Snapshot | None, limit: int) -> Snapshot:
        handlers = ("request-id", {"use": "concurrency-limit", "limit": limit}, "authz:check")
        pipelines = (Pipeline(PipelineMatch("/"), handlers, "app"), SHOP.pipelines[1])
        told = msgspec.structs.replace(SHOP, pipelines=pipelines)
        return generation(epoch, current, PRICING, CATALOG, AUTHZ, settings=told)

    second = limited(2, first, 200)
    same, third = limited(3, second, 200), limited(3, second, 300)
    assert same.digest == second.digest
    assert {name: epoch for name, epoch in since(third).items() if epoch > 1} == {"pipeline /": 3}
    assert summary(first, second, lambda *_: 0)[0] == "pipeline /: +request-id, +concurrency-limit"
    assert summary(second, third, lambda *_: 0)[0] == "pipeline /: concurrency-limit is told otherwise"
    shop = next(unit for unit in second.units if unit.key.ref.name == "/")
    assert [str(ref) for ref in shop.requires] == ["plugin authz", "application app"]
